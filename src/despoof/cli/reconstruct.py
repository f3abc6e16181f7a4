"""`despoof reconstruct`: the counterpart of every face of a store."""

from pathlib import Path
from typing import Literal


def reconstruct(
    store: Path, generator: Path, *, start_step: int | None = None,
    scheduler: Literal["pndm", "ddim"] = "pndm", posterior: Literal["sample", "mode"] = "sample", threads: int = 2,
) -> None:  # fmt: skip
    """Write STORE/counterparts/NAME-tSTEP/; run again to go on after an interruption, or on several machines at once.

    Args:
        store: folder made by `despoof prepare`.
        generator: generator.safetensors, or a folder with the published unet_ema, vae and backbone.pth.
        start_step: t to which faces are noised; the generator's own if left out.
        scheduler: of a published folder, which holds none that is sound: pndm as released, or ddim.
        posterior: of a published folder: sample as released, or mode.
        threads: of the processor.
    """
    import torch

    from despoof.faces.store import Store
    from despoof.generator.reconstruct import reconstruct as run
    from despoof.generator.registry import load_generator

    torch.set_num_threads(threads)
    made = _published(generator, scheduler, posterior) if generator.is_dir() else load_generator(generator)
    print(run(Store(store), made, start_step=start_step))


def _published(folder: Path, scheduler: str, posterior: str):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    from despoof.generator.config import PAPER
    from despoof.generator.weights import load_published

    return load_published(folder, diffusion=replace(PAPER.diffusion, scheduler=scheduler), posterior=posterior)
