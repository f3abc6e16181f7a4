"""Where a face departs from its counterpart: both (N, 3, S, S) in [-1, 1] -> map (N, S, S) in 0..1, on a fixed scale.

The difference is taken in features: a frozen backbone's after the first layer of each stride in `STRIDES`, and mean
colours on the coarsest but one of these grids. A counterpart is softer than any face, and hair, eyes and background
differ in every live capture; so a difference counts by how unlike it is to the differences of live captures at its
place, as in PaDiM (arXiv 2011.08785), with one covariance for all places of a layer. `learn` measures those.

It explains no verdict: nothing that the shipped detector decides hangs on a counterpart.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.runs.checkpoint import load_artefact, load_strict, save_artefact

if TYPE_CHECKING:
    from despoof.detector.backbones.backbone import Backbone

KIND = "departure"
STRIDES = (4, 8, 16)
COLOURS = 8  # side in px of the squares over which colours are averaged
RIDGE = 0.01  # of a covariance's mean variance, added to each: directions that live captures hardly use stay finite
HALF = 3.0  # deviations beyond a live capture's mean that a map shows as one half
BATCH = 32


class Normal(nn.Module):
    """What differences (N, C, H, W) of one layer are in live captures; differences -> deviations (N, H, W) beyond that.

    d = log |W (x - m)|^2, of the whitening W of the layer and the mean m of the place, less its own mean over its own
    deviation there.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, height, width))
        self.register_buffer("whiten", torch.eye(channels))
        self.register_buffer("level", torch.zeros(height, width))
        self.register_buffer("spread", torch.ones(height, width))

    def distance(self, difference: torch.Tensor) -> torch.Tensor:
        """Return d (N, H, W) of differences (N, C, H, W)."""
        white = F.conv2d(difference - self.mean, self.whiten[..., None, None])
        return (white.square().sum(1) + 1e-6).log()

    def forward(self, difference: torch.Tensor) -> torch.Tensor:
        """Return by how many of its deviations each place lies beyond its mean in live captures, (N, H, W)."""
        return (self.distance(difference) - self.level) / self.spread


class Departure(nn.Module):
    """Face, counterpart -> map. `backbone` stays who gave it: it is neither trained nor part of the file.

    `facts` travel with the file: which generator's counterparts it learned from, and the live captures' quantiles.
    """

    def __init__(self, backbone: "Backbone", face_size: int, facts: dict | None = None) -> None:
        super().__init__()
        starts = {stage.stride: start for start, stage in zip(_starts(backbone), backbone.stages, strict=True)}
        if backbone.first.in_channels != 3 or not set(STRIDES) <= set(starts):
            raise ConfigError(
                f"a backbone of strides {sorted(starts)} that takes {backbone.first.in_channels} channels; expected "
                f"{STRIDES} and colours alone. Take a detector with a convolutional backbone and no concatenated cue."
            )
        self.face_size = face_size
        self.facts = dict(facts or {})
        self.read = tuple(starts[stride] for stride in STRIDES)  # the layers whose outputs are compared
        self._backbone = [backbone]  # in a list, so that its weights are not this module's
        plain = torch.zeros(1, 3, face_size, face_size, device=self.device)
        with torch.no_grad():
            self.normals = nn.ModuleList(Normal(*each.shape[1:]) for each in self.differences(plain, plain))
        self.to(self.device)

    @property
    def backbone(self) -> "Backbone":
        """The network that reads."""
        return self._backbone[0]

    @property
    def made_by(self) -> tuple[str, str]:
        """The name of the generator whose counterparts it learned from, and the step that it started from."""
        parents = self.facts.get("parents", {})
        return str(parents.get("generator")), str(parents.get("start_step"))

    @property
    def device(self) -> torch.device:
        """Where it reads."""
        return next(self.backbone.parameters()).device

    def features(self, face: torch.Tensor) -> list[torch.Tensor]:
        """Return what is compared of faces (N, 3, S, S): mean colours, then the backbone's maps."""
        found, features = [F.avg_pool2d(face, COLOURS)], self.backbone.normalise(face)
        for place, layer in enumerate(self.backbone.features[: self.read[-1] + 1]):
            features = layer(features)
            if place in self.read:
                found.append(features)
        return found

    def differences(self, face: torch.Tensor, counterpart: torch.Tensor) -> list[torch.Tensor]:
        """Return features of the face less those of the counterpart, each (N, C, H, W)."""
        return [own - made for own, made in zip(self.features(face), self.features(counterpart), strict=True)]

    def forward(self, face: torch.Tensor, counterpart: torch.Tensor) -> torch.Tensor:
        """Return the map (N, S, S) in 0..1: z / (z + 3) of the mean deviation z over the layers, 0 where z < 0.

        So 0 is as in a live capture or less, and one half is three deviations beyond it, in every picture.
        """
        size = (self.face_size, self.face_size)
        if face.shape != counterpart.shape or tuple(face.shape[-2:]) != size:
            raise InputError(
                f"face {tuple(face.shape)} and counterpart {tuple(counterpart.shape)}; expected both (N, 3, "
                f"{size[0]}, {size[1]}). Align the face, and make the counterpart from it."
            )
        deviations = [normal(x) for normal, x in zip(self.normals, self.differences(face, counterpart), strict=True)]
        wide = [F.interpolate(each[:, None], size, mode="bilinear", align_corners=False) for each in deviations]
        beyond = torch.cat(wide, 1).mean(1).clamp(min=0)
        return beyond / (beyond + HALF)

    @torch.no_grad()
    def strengths(self, faces: torch.Tensor, counterparts: torch.Tensor) -> np.ndarray:
        """Return the mean of each map (N,), batch by batch: how strongly each face departs as a whole."""
        pairs = zip(faces.split(BATCH), counterparts.split(BATCH), strict=True)
        return torch.cat([self(*pair).mean((1, 2)) for pair in pairs]).cpu().numpy()

    @torch.no_grad()
    def learn(self, faces: torch.Tensor, counterparts: torch.Tensor) -> None:
        """Measure the differences of live captures (N, 3, S, S) and their counterparts, in [-1, 1]."""
        if len(faces) < 2:
            raise InputError(f"{len(faces)} live captures; expected two at the least. Prepare more.")
        pairs = zip(faces.split(BATCH), counterparts.split(BATCH), strict=True)
        found = [self.differences(*(one.to(self.device) for one in pair)) for pair in pairs]
        for normal, differences in zip(self.normals, map(torch.cat, zip(*found, strict=True)), strict=True):
            normal.mean.copy_(differences.mean(0))
            beside = (differences - normal.mean).movedim(1, -1).flatten(0, 2)
            normal.whiten.copy_(_whitening(beside.T @ beside / len(beside)))
            distances = normal.distance(differences)
            normal.level.copy_(distances.mean(0))
            normal.spread.copy_(distances.std(0).clamp(min=1e-3))


def save_departure(path: str | Path, departure: Departure, *, facts: dict) -> None:
    """Write what `learn` measured; `facts` must name the generator, see `Departure`."""
    config = {"face_size": departure.face_size, "backbone": _name(departure)}
    tensors = {name: tensor.half() for name, tensor in departure.state_dict().items()}
    save_artefact(path, KIND, config, tensors, facts=facts)


def load_departure(path: str | Path, backbone: "Backbone") -> Departure:
    """Read what `save_departure` wrote; one that was measured by another backbone is an ArtefactError."""
    artefact = load_artefact(path, KIND)
    departure = Departure(backbone, artefact.config["face_size"], artefact.facts)
    if (here := _name(departure)) != artefact.config["backbone"]:
        raise ArtefactError(
            f"{path} was measured by backbone {artefact.config['backbone']}; the detector has {here}. "
            "Measure it again: despoof train departure."
        )
    load_strict(departure, {name: tensor.float() for name, tensor in artefact.tensors.items()}, path)
    return departure.eval()


def departure_of(detector_file: Path) -> Path:
    """Return where the file of a detector's departure lies, there or not: beside it, under the like name."""
    return detector_file.with_name(detector_file.name.replace("detector", KIND))


def _starts(backbone: "Backbone") -> list[int]:
    return [0, *(stage.end for stage in backbone.stages[:-1])]


def _name(departure: Departure) -> str:
    """Return hex digits that name the weights of the layers that are read."""
    digest = hashlib.blake2b(digest_size=6)
    for tensor in departure.backbone.features[: departure.read[-1] + 1].state_dict().values():
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _whitening(covariance: torch.Tensor) -> torch.Tensor:
    """Return W with |W x|^2 = x^T (covariance + ridge)^-1 x, (C, C)."""
    values, vectors = torch.linalg.eigh(covariance.double())
    values = values.clamp(min=0) + RIDGE * values.mean()
    return (vectors / values.sqrt()).T.float()
