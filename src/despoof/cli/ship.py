"""`despoof ship`: a generator and a detector -> a folder of weights that `load` reads."""

from pathlib import Path


def ship(generator: Path, detector: Path, out: Path, *, suffix: str = "") -> None:
    """Write both as 16-bit floats.

    Args:
        generator: generator.safetensors.
        detector: detector.safetensors.
        out: folder to write.
        suffix: put into the names, such as -small for the package's own folder.
    """
    from despoof.detector.network import load_detector, save_detector
    from despoof.generator.registry import load_generator, save_generator

    save_generator(out / f"generator{suffix}.safetensors", load_generator(generator), half=True)
    save_detector(out / f"detector{suffix}.safetensors", load_detector(detector).half())
    for path in sorted(out.glob("*.safetensors")):
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")
