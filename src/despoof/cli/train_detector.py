"""`despoof train detector`: resumes where it stopped."""

from pathlib import Path

from despoof.cli.options import Place, configured, launchable
from despoof.detector.config import PRESETS, DetectorRecipe
from despoof.detector.recipe import fitted


@launchable
@configured(PRESETS, "texture", fitted)
def detector(
    store: Place, counterparts: Path, run: Path, *, recipe: DetectorRecipe, seed: int = 0, threads: int = 2,
    workers: int = 0, scratch: Path | None = None, pool: str | None = None, processes: int = 1,
    address: str | None = None, gpus: bool = False,
) -> None:  # fmt: skip
    """Train the detector on every domain of a store; its points are of people, or with folds of cameras, held out.

    Args:
        store: folder made by `despoof prepare`, or a URI of shards of it; live and attack, with domains.
        counterparts: folder made by `despoof reconstruct`; any word, such as none, where no cue is used.
        run: folder for log, state and detector.safetensors with its operating points.
        seed: of weights, batches and of the validation split.
        threads: of the processor.
        workers: processes that make batches ahead, for an accelerator.
        scratch: folder on a quick disk of this machine for the pixels of a set that does not fit into memory.
        pool: who trains members side by side, each whole in one of --processes: local, processes of this machine, or
            ray, a cluster whose machines see store and run; without one they are trained in turn.
    """
    import torch

    from despoof.detector.recipe import FILE, train_on_store
    from despoof.faces.store import Store
    from despoof.runs.pool import Pool

    torch.set_num_threads(threads)
    shared = None if pool is None else Pool(pool, processes, address, cpus=threads, gpus=float(gpus))
    options = {"seed": seed, "workers": workers, "scratch": scratch, "pool": shared}
    train_on_store(recipe, Store(store), counterparts, run, **options)
    print(run / FILE)
