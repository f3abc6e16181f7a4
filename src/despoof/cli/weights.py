"""`despoof weights …`: a detector and its generator -> a folder of weights that `load` reads -> the hub."""

from pathlib import Path
from typing import Literal


def pack(
    generator: Literal["none"] | Path, detector: Path, out: Path, *, suffix: str = "", licence: str = "",
    unbound: bool = False,
) -> None:  # fmt: skip
    """Write a generator in 8 bits a weight and the detector that belongs to it in 16, naming the packed generator.

    Distances to what was learned keep 32 bits: sums of thousands of them cancel. A detector without cue
    judges without generator, which then makes the pictures alone and may be left out.

    Args:
        generator: generator.safetensors, or none.
        detector: detector.safetensors, trained on this generator's counterparts or without a cue.
        out: folder to write.
        suffix: put into the names, such as -default for the package's own folder.
        licence: of the weights, for their facts and every export; left out, what the detector's file says.
        unbound: take your word for it that the two belong together, where the detector's file does not say so.
    """
    from despoof.detector.network import load_detector, save_detector
    from despoof.errors import ConfigError
    from despoof.generator.registry import load_generator, save_generator
    from despoof.pair import parents_of, require_pair

    judge = load_detector(detector)
    facts: dict = {"licence": licence} if licence else {}
    if generator == "none" and judge.config.uses_cue:
        raise ConfigError(f"no generator for {detector}, which takes a cue. Give the one that it was trained with.")
    if generator != "none":
        maker = load_generator(generator)
        if "generator" in parents_of(judge) or not unbound:
            require_pair(maker, judge, (generator, detector))
        made = out / f"generator{suffix}.safetensors"
        save_generator(made, maker, bits=8)
        packed = load_generator(made)  # rounded, so of another name than the one that was trained with
        facts["parents"] = {"generator": packed.name, "start_step": str(packed.start_of(None))}
    judge.backbone.half()
    if judge.config.kernel:  # components are means of thousands of numbers; a head's own layer is not
        judge.embed.weight.data = judge.embed.weight.data.half()
    if judge.config.branches:
        judge.branches.half()
    save_detector(out / f"detector{suffix}.safetensors", judge, facts=facts)
    for path in sorted(out.glob("*.safetensors")):
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")


def push(folder: Path, repository: str, *, datasets: list[str] | None = None, public: bool = False) -> None:
    """Write a card into a folder of weights and upload it to the Hugging Face hub, for `despoof.load("owner/name")`.

    Takes safetensors, onnx, json and md files alone. Needs a token: `hf auth login`, or HF_TOKEN.

    Args:
        folder: of weights, of an export, or both; a README.md that lies there keeps its text.
        repository: owner/name. One that is new is private.
        datasets: what was learned from, for the card's header; give one for each.
        public: a new repository is for all to see. Mind the licence of the weights, and of what they learned from.
    """
    from despoof.engine.hub import push as run

    print(run(folder, repository, datasets=datasets or (), public=public))
