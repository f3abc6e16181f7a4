"""`despoof reconstruct`: the counterpart of every face of a store."""

from pathlib import Path


def reconstruct(store: Path, generator: Path, *, start_step: int | None = None, threads: int = 2) -> None:
    """Write STORE/counterparts/NAME-tSTEP/*.png; run again to go on after an interruption.

    Args:
        store: folder made by `despoof prepare`.
        generator: generator.safetensors.
        start_step: t to which faces are noised; the generator's own if left out.
        threads: of the processor.
    """
    import torch

    from despoof.data.store import Store
    from despoof.generator.generator import load_generator
    from despoof.generator.reconstruct import reconstruct as run

    torch.set_num_threads(threads)
    print(run(Store(store), load_generator(generator), start_step=start_step))
