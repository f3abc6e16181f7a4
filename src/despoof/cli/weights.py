"""`despoof weights pack`: a generator and a detector -> a folder of weights that `load` reads."""

from pathlib import Path


def pack(
    generator: Path, detector: Path, out: Path, *, suffix: str = "", licence: str = "", unbound: bool = False
) -> None:  # fmt: skip
    """Write a generator and the detector that belongs to it as 16-bit floats, the detector naming the packed generator.

    Args:
        generator: generator.safetensors.
        detector: detector.safetensors, trained on this generator's counterparts.
        out: folder to write.
        suffix: put into the names, such as -default for the package's own folder.
        licence: of the weights, for their facts and every export; left out, what the detector's file says.
        unbound: take your word for it that the two belong together, where the detector's file does not say so.
    """
    from despoof.detector.network import load_detector, save_detector
    from despoof.generator.registry import load_generator, save_generator
    from despoof.pipeline import require_pair

    maker, judge = load_generator(generator), load_detector(detector)
    named = judge.facts.get("parents") or judge.facts.get("identity", {}).get("parents", {})
    if "generator" in named or not unbound:
        require_pair(maker, judge, (generator, detector))
    made = out / f"generator{suffix}.safetensors"
    save_generator(made, maker, half=True)
    packed = load_generator(made)  # rounded to 16 bits, so of another name than the one that was trained with
    parents = {"generator": packed.name, "start_step": str(packed.start_of(None))}
    facts = {"parents": parents} | ({"licence": licence} if licence else {})
    save_detector(out / f"detector{suffix}.safetensors", judge.half(), facts=facts)
    for path in sorted(out.glob("*.safetensors")):
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")
