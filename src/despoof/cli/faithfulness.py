"""`despoof faithfulness`: how near counterparts stay to real faces."""

from pathlib import Path


def faithfulness(
    store: Path, generator: Path, teacher: Path, *, start_step: int | None = None, threads: int = 2
) -> None:
    """Print identity cosine, PSNR and SSIM on the test split of a store of real faces.

    Args:
        store: real faces, prepared, with a test split.
        generator: generator.safetensors.
        teacher: ArcFace ONNX file that judges identity.
        start_step: t; the generator's own if left out.
        threads: of the processor.
    """
    from dataclasses import fields

    import numpy as np
    import torch

    from despoof.data.sample import Split
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies.fidelity import faithfulness as run

    torch.set_num_threads(threads)
    opened = Store(store)
    rows = [row for row in opened.with_face() if row.sample.split is Split.TEST]
    found = run(opened, rows, load_generator(generator), str(teacher), start_step=start_step)
    print(f"{len(rows)} held-out faces: mean, 95 % interval of the mean, 5th and 95th percentile")
    for field in fields(found):
        values = getattr(found, field.name)
        half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
        low, high = np.quantile(values, (0.05, 0.95))
        mean = values.mean()
        print(f"{field.name:20} {mean:7.3f}  [{mean - half:.3f}, {mean + half:.3f}]  {low:7.3f} {high:7.3f}")
