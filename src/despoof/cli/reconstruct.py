"""`despoof reconstruct`: the counterpart of every face of a store."""

from pathlib import Path

from despoof.cli.options import Place
from despoof.generator.config import Posterior, Scheduler


def reconstruct(
    store: Place, generator: Path, *, start_step: int | None = None, scheduler: Scheduler = "pndm",
    posterior: Posterior = "sample", device: str | None = None, threads: int = 2, workers: int = 1,
    pool: str = "local", address: str | None = None, gpus: float = 0.0, out: Path | None = None,
) -> None:  # fmt: skip
    """Write STORE/counterparts/NAME-tSTEP/; run again to go on after an interruption, or on several machines at once.

    Args:
        store: folder made by `despoof prepare`, or a URI of shards of it.
        generator: generator.safetensors, or a folder with the published unet_ema, vae and backbone.pth.
        start_step: t to which faces are noised; the generator's own if left out.
        scheduler: of a published folder, which holds none that is sound: pndm as released, or ddim.
        posterior: of a published folder: sample as released, or mode.
        device: cpu, cuda, cuda:1, mps, …; the machine's accelerator if left out, or its processor without one.
        threads: of the processor, for each worker.
        workers: processes, or tasks at a time of a Ray cluster.
        pool: local, processes of this machine, or ray, a cluster whose machines all reach the store and the generator.
        address: of the Ray cluster, such as auto; without it Ray runs here.
        gpus: GPUs of a worker, in Ray; parts of one may be shared.
        out: folder in place of STORE/counterparts, which a store at a URI does not have.
    """
    from despoof.faces.store import Store
    from despoof.generator.reconstruct import Source, reconstruct_in
    from despoof.runs.pool import Pool

    source = Source(str(generator.resolve()), device, threads, scheduler, posterior)
    shared = Pool(pool, workers, address, cpus=threads, gpus=gpus)
    print(reconstruct_in(shared, Store(store), source, out, start_step=start_step))
