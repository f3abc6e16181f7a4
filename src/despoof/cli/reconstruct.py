"""`despoof reconstruct`: the counterpart of every face of a store."""

from pathlib import Path

from despoof.generator.config import Posterior, Scheduler


def reconstruct(
    store: Path, generator: Path, *, start_step: int | None = None, scheduler: Scheduler = "pndm",
    posterior: Posterior = "sample", device: str | None = None, threads: int = 2,
) -> None:  # fmt: skip
    """Write STORE/counterparts/NAME-tSTEP/; run again to go on after an interruption, or on several machines at once.

    Args:
        store: folder made by `despoof prepare`.
        generator: generator.safetensors, or a folder with the published unet_ema, vae and backbone.pth.
        start_step: t to which faces are noised; the generator's own if left out.
        scheduler: of a published folder, which holds none that is sound: pndm as released, or ddim.
        posterior: of a published folder: sample as released, or mode.
        device: cpu, cuda, cuda:1, mps, …; the machine's accelerator if left out, or its processor without one.
        threads: of the processor.
    """
    from dataclasses import replace

    import torch

    from despoof.faces.store import Store
    from despoof.generator.config import PAPER
    from despoof.generator.reconstruct import reconstruct as run
    from despoof.generator.registry import load_generator
    from despoof.generator.weights import load_published
    from despoof.runs.processes import choose_device

    torch.set_num_threads(threads)
    where = choose_device(device)
    if generator.is_dir():
        diffusion = replace(PAPER.diffusion, scheduler=scheduler)
        made = load_published(generator, diffusion=diffusion, posterior=posterior)
    else:
        made = load_generator(generator)
    print(run(Store(store), made.to(where), start_step=start_step))
