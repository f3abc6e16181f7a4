"""A detector and the generator that belongs to it: where their files lie, and what holds the two together."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from despoof.errors import ArtefactError, ConfigError

if TYPE_CHECKING:
    from despoof.detector.network import Detector
    from despoof.generator.generator import Generator

WEIGHTS = Path(__file__).parent / "weights"
PRESETS = ("default",)
HUB_NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?")
TAKEN = ("*.safetensors", "*.onnx", "*.json", "*.md")  # of the hub: no code, and nothing that is unpickled


def files_of(which: str | Path) -> tuple[Path, Path]:
    """Return the files of generator and detector, there or not, of a preset or in a folder, of the hub too."""
    if which in PRESETS:
        return WEIGHTS / f"generator-{which}.safetensors", WEIGHTS / f"detector-{which}.safetensors"
    folder = place_of(which)
    if folder.is_dir():
        return folder / "generator.safetensors", folder / "detector.safetensors"
    raise ArtefactError(
        f"{which!r} is no preset ({', '.join(PRESETS)}), no folder of weights and no owner/name of the hub. Give one "
        "of these."
    )


def place_of(which: str | Path) -> Path:
    """Return the folder of a preset, or the one that is named, there or not; of the hub, see `from_hub`.

    What exists here goes before a name of the hub, and a `Path` is never such a name.
    """
    if which in PRESETS:
        return WEIGHTS
    if isinstance(which, str) and HUB_NAME.fullmatch(which) and not Path(which).exists():
        return from_hub(which)
    return Path(which)


@cache
def from_hub(name: str) -> Path:
    """Return the folder of "owner/name" or "owner/name@revision" of the Hugging Face hub, after fetching what lacks.

    It is that of one revision for the whole process. Only `TAKEN` is fetched; what is read of it is checked as in any
    folder. Needs the extra `hub`; what cannot be had is an ArtefactError.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError(
            f"{name!r} is no folder here, and huggingface_hub, which would look for it on the hub, is not installed. "
            "Correct the path, or run: pip install 'despoof[hub]'"
        ) from None
    found = HUB_NAME.fullmatch(name)
    repository, revision = found["repository"], found["revision"]
    try:
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=list(TAKEN)))
    except Exception as error:  # of the network, of the hub and of its cache, which share no class
        said = str(error).strip().partition("\n")[0]
        raise ArtefactError(
            f"{name!r} is no folder here, and the hub gave nothing by that name ({type(error).__name__}: {said}). "
            "Correct the path or the name, log in where it is private (hf auth login), or fetch it once while online."
        ) from None


def read_generator(file: Path, detector: "Detector", detector_file: Path) -> "Generator":
    """Return the generator that belongs to a detector; another or none is an ArtefactError."""
    from despoof.generator.registry import load_generator

    if not file.is_file() and not detector.config.uses_cue:
        raise ArtefactError(
            f"weights file {file} is missing; expected the generator that makes the pictures of {detector_file}, which "
            "judges without it. Restore it, or ask for no pictures."
        )
    generator = load_generator(file)
    require_pair(generator, detector, (file, detector_file))
    return generator


def parents_of(detector: "Detector") -> dict[str, str]:
    """Return what a detector's facts say of its generator: what `despoof weights pack` wrote, or its training."""
    return detector.facts.get("parents") or detector.facts.get("identity", {}).get("parents", {})


def require_pair(generator: "Generator", detector: "Detector", files: tuple[Path, Path]) -> None:
    """Raise ArtefactError unless the detector learned from this generator's counterparts, from the step it starts at.

    Its facts say so, see `parents_of`. A detector that takes a cue and names no generator is refused as well: its
    thresholds hold for nobody knows which. One without cue may name none, since nothing that is decided hangs on it.
    """
    made, judges = files
    parents = parents_of(detector)
    here = {"generator": generator.name, "start_step": str(generator.start_of(None))}
    if "generator" not in parents and detector.config.uses_cue:
        raise ArtefactError(
            f"{judges} does not say from which generator's counterparts it learned. If you know that it was {made}, "
            f"bind the two: despoof weights pack {made} {judges} OUT --unbound"
        )
    for name, value in here.items():
        if (held := str(parents.get(name, value))) != value:
            raise ArtefactError(
                f"{judges} belongs to counterparts of {name} {held}; {made} has {value}. Give the generator that it "
                "names, or train a detector on this one's counterparts."
            )
    if generator.config.face_size != detector.config.face_size:
        raise ArtefactError(
            f"{made} works at {generator.config.face_size} px, {judges} at {detector.config.face_size}. Give two files "
            "of one preset."
        )
