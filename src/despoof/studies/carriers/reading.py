"""Numbers read in faces and in what sets them apart from their counterparts, kept on disk by content.

    OUT/numbers/HEX.safetensors    numbers (n, K) of some captures, made in one way, and what each stage took

HEX says the weights, the way and the faces. A file is written whole and never changed, so that a killed run goes on.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from torch.utils.flop_counter import FlopCounterMode

from despoof.cue import cue
from despoof.detector.backbones.backbone import channel_statistics, stage_outputs
from despoof.detector.branches import FACE
from despoof.detector.network import Detector
from despoof.errors import InputError
from despoof.faces.align import as_tensor, face_hash, scaled
from despoof.faces.store import Store, StoredSample
from despoof.generator.generator import Generator, Lap
from despoof.runs.config import config_hash
from despoof.runs.folder import atomic_path
from despoof.runs.progress import track
from despoof.studies.carriers.making import Make
from despoof.studies.readings import BATCH, cue_statistics

FORMAT = "despoof-carriers/2"  # another one where what is read is another
FACES = "face"  # in the place of a way
TOOK = "took "  # before the name of a stage: milliseconds of the processor for each face
Numbers = dict[str, np.ndarray]


class Seen(NamedTuple):
    """What the networks find in pictures: the backbone's maps by stride, and each reader's numbers (N, K)."""

    maps: list[tuple[int, torch.Tensor]]
    read: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sight:
    """The networks that read: those of a detector, and the generator's encoders."""

    detector: Detector
    generator: Generator

    def __post_init__(self) -> None:
        sizes = self.detector.config.face_size, self.generator.config.face_size
        if sizes[0] != sizes[1] or not self.detector.config.statistics:
            raise InputError(
                f"detector of {sizes[0]} px, generator of {sizes[1]} px; expected one size, and a detector that judges "
                "statistics. Choose others."
            )
        for network in (self.detector, self.generator):  # a third less time
            network.eval().to(memory_format=torch.channels_last)

    @property
    def name(self) -> str:
        """Twelve hex digits of all that reads."""
        tensors = self.detector.state_dict().items()
        parts = {name: face_hash(x.numpy()) for name, x in tensors if name.startswith(("backbone", "branches"))}
        return config_hash([FORMAT, self.generator.name, parts])

    def see(self, pictures: torch.Tensor, lap: Lap, *, whole: bool = True) -> Seen:
        """Look at pictures (N, 3, S, S) in [-1, 1], by the generator's encoders too if whole; a lap for each reader."""
        backbone, autoencoder = self.detector.backbone, self.generator.autoencoder
        stages = stage_outputs(backbone, backbone.normalise(pictures))
        maps = [(stage.stride, each) for stage, outputs in stages for each in outputs]
        read = {self.detector.config.backbone: _statistics([each for _, each in maps])}
        lap(self.detector.config.backbone)
        found = []
        for branch in self.detector.branches.values() if self.detector.config.branches else ():
            if FACE in branch.views:
                layers, last = branch.network.maps(branch.shrink_face(pictures))
                found += [_statistics(layers), last]
        if found:
            read["minifasnet"] = torch.cat(found, 1)
            lap("minifasnet")
        if not whole:
            return Seen(maps, read)
        identity = self.generator.identity(pictures)
        read["identity encoder"] = torch.cat([_statistics([identity.tokens]), identity.embedding], 1)
        lap("identity encoder")
        layers = [pictures]
        for layer in getattr(autoencoder, "encoder", ()):
            layers.append(layer(layers[-1]))
        read["autoencoder's encoder"] = _statistics(layers[1:] or [autoencoder.encode(pictures)])
        lap("autoencoder's encoder")
        return Seen(maps, read)

    def of_faces(self, faces: torch.Tensor, around: np.ndarray | None) -> Numbers:
        """Return what each reader finds in faces, and "ships": all that the detector reads, around them too."""
        surroundings = None
        if around is not None:
            pixels = torch.from_numpy(around)
            surroundings = scaled(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        read = self.see(faces, _no_lap).read | {"ships": self.detector.statistics(faces, None, surroundings)}
        return {name: each.numpy() for name, each in read.items()}

    def of_cues(self, faces: torch.Tensor, own: Seen, make: Make, lap: Lap, *, whole: bool) -> Numbers:
        """Return the numbers of each form of the cue, or of features alone unless whole.

        Of what is read in both, the face's less the counterpart's.
        """
        made = make(faces, lap)
        other = self.see(made.counterpart, lap, whole=whole)
        found = {f"features, {reader}": own.read[reader] - read for reader, read in other.read.items()}
        if whole:
            distances: dict[int, list[torch.Tensor]] = {}
            for (stride, one), (_, another) in zip(own.maps, other.maps, strict=True):
                distances.setdefault(stride, []).append((one - another).abs())
            found |= {f"maps, stride {stride}": _statistics(each) for stride, each in distances.items() if stride >= 4}
            lap("maps")
            latents = made.own - made.latents
            found |= {"latents, statistics": _statistics([latents, latents.abs()]), "latents, map": latents.flatten(1)}
            lap("latents' numbers")
            found |= self._pixels(faces, made.counterpart, lap)
        return {form: each.float().numpy() for form, each in found.items()}

    def _pixels(self, faces: torch.Tensor, counterparts: torch.Tensor, lap: Lap) -> dict[str, torch.Tensor]:
        found = {}
        for form in ("signed", "standardised"):
            pixels = cue(faces, counterparts, form)
            found[f"pixels, {form}"] = torch.from_numpy(cue_statistics(pixels.permute(0, 2, 3, 1).numpy()))
        lap("pixels")
        backbone, name = self.detector.backbone, self.detector.config.backbone
        stages = stage_outputs(backbone, backbone.resize(faces - counterparts))
        found[f"pixels, by {name}"] = _statistics([each for _, outputs in stages for each in outputs])
        lap(f"pixels, by {name}")
        return found


def _statistics(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([channel_statistics(each) for each in maps], 1)


@torch.inference_mode()
def read_all(
    sight: Sight, store: Store, rows: Sequence[StoredSample], makes: dict[str, tuple[Make, bool]], out: Path
) -> Numbers:
    """Return numbers (N, K) of rows: "face: READER", and of each way "WAY: FORM" and "WAY: took STAGE" (1,).

    Beside how a way makes its counterparts stands whether it is read in every form.
    """
    parts: dict[str, list[np.ndarray]] = {}
    batches = [list(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    for batch in track(batches, "numbers", len(batches)):
        faces = store.faces(batch, sight.detector.config.face_size)
        named = [sight.name, [face_hash(face) for face in faces]]
        tensors, own = as_tensor(faces, faces.shape[1]), {}
        for way, (make, whole) in {FACES: (None, False), **makes}.items():
            path = out / "numbers" / f"{config_hash([*named, way, whole])}.safetensors"
            found = held(path)
            if found is None and make is None:
                around = store.surroundings(batch) if sight.detector.config.uses_surroundings else None
                found = keep(path, sight.of_faces(tensors, around))
            elif found is None:
                seen = sight.see(tensors, _no_lap) if whole else Seen([], own)
                found = keep(path, _timed(sight, tensors, seen, make, whole))
            if make is None:
                own = {name: torch.from_numpy(each) for name, each in found.items()}
            for name, each in found.items():
                parts.setdefault(f"{way}: {name}", []).append(each)
    return {name: np.mean(each, 0) if TOOK in name else np.concatenate(each) for name, each in parts.items()}


def stages(form: str, backbone: str) -> tuple[str, ...]:
    """Return the stages that a form of the cue takes beside what the face itself takes."""
    kind, _, what = form.partition(", ")
    if kind == "latents":
        return "latents", "again", "latents' numbers"
    last = {"pixels": (form,) if what.startswith("by") else ("pixels",), "features": (what,), "maps": (backbone, kind)}
    return "latents", "decode", *last[kind]


def operations(sight: Sight, make: Make) -> dict[str, float]:
    """Return 1e9 multiplications and additions of each stage for one face."""
    side, found, counter = sight.detector.config.face_size, {}, FlopCounterMode(display=False)
    face = torch.zeros(1, 3, side, side)
    with torch.no_grad():
        own = sight.see(face, _no_lap)
        with counter:
            sight.of_cues(face, own, make, lambda at: found.update({at: counter.get_total_flops() / 1e9}), whole=True)
    return dict(zip(found, np.diff([0.0, *found.values()]).tolist(), strict=True))


def _timed(sight: Sight, faces: torch.Tensor, own: Seen, make: Make, whole: bool) -> Numbers:
    took, last = {}, time.process_time()

    def lap(stage: str) -> None:
        nonlocal last
        took[f"{TOOK}{stage}"] = np.array([1000 * (time.process_time() - last) / len(faces)])
        last = time.process_time()

    return sight.of_cues(faces, own, make, lap, whole=whole) | took


def keep(path: Path, numbers: Numbers) -> Numbers:
    """Write numbers whole, and return them."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({name: np.ascontiguousarray(each) for name, each in numbers.items()}))
    return numbers


def held(path: Path) -> Numbers | None:
    """Return what `keep` wrote; None where there is nothing, or nothing whole."""
    try:
        return load_file(path)
    except (SafetensorError, OSError):
        return None


def _no_lap(stage: str) -> None:
    pass
