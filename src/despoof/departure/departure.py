"""Where a face departs from its counterpart: both (N, 3, S, S) in [-1, 1] -> map (N, S, S) in 0..1, on a fixed scale.

The difference is taken in features: a frozen backbone's after the first layer of each stride in `STRIDES`, and mean
colours. A counterpart is softer than any face, and hair, eyes and background differ in every live face; so a small
network weighs the differences, and what it says counts by how unlike it is to what it says of live faces at that
place. It learned to tell live faces from live faces that were changed in one place, with the counterparts that the
generator made of both, as CutPaste (arXiv 2104.04015) and DRAEM (2108.07610) do: no attack, and no change of those
that the map is measured on.

It explains no verdict: nothing that the shipped detector decides hangs on a counterpart.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.runs.checkpoint import load_artefact, load_strict, save_artefact
from despoof.runs.loop import step_rng
from despoof.runs.progress import track

if TYPE_CHECKING:
    from despoof.detector.backbones.backbone import Backbone

KIND = "departure"
STRIDES = (4, 8, 16)
COLOURS = 4  # side in px of the squares over which colours are averaged
HALF = 3.0  # deviations beyond a live face's mean that a map shows as one half
CLAMP = 6.0  # deviations beyond which a difference counts no more
WIDTH = 32  # channels of the network that weighs
BATCH = 32
RATE, DECAY = 3e-3, 0.05
CHANGED, LIVE = 12, 4  # of a step's batch
CHANGED_WEIGHT = 3.0  # of a changed place, since few places of a changed face are


@dataclass(frozen=True)
class Lessons:
    """Differences (N, C, H, W) of each layer, in 16 bits, and the share (N, G, G) of each place that was changed."""

    differences: list[torch.Tensor]
    changed: torch.Tensor

    def of(self, chosen: np.ndarray) -> "Lessons":
        """Return those where `chosen` (N,) is true, or those at its places."""
        places = torch.from_numpy(np.asarray(chosen))
        return Lessons([each[places] for each in self.differences], self.changed[places])

    def __len__(self) -> int:
        return len(self.changed)


class Weighing(nn.Module):
    """Standardised differences and their sizes (N, K, G, G) -> how likely each place was changed, a logit (N, G, G)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(inputs, WIDTH, 1)
        self.around = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)
        self.mix = nn.Conv2d(WIDTH, WIDTH, 1)
        self.last = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh each place, look at its neighbours, weigh again."""
        x = F.gelu(self.weigh(x))
        return self.last(F.gelu(self.mix(self.around(x))) + x)[:, 0]


class Standard(nn.Module):
    """Mean of the place and deviation of the channel of one layer's differences (N, C, H, W) in live faces."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, height, width))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def forward(self, difference: torch.Tensor) -> torch.Tensor:
        """Return deviations, no more than `CLAMP`."""
        return ((difference - self.mean) / self.deviation).clamp(-CLAMP, CLAMP)

    def measure(self, differences: torch.Tensor) -> None:
        """Take mean and deviation of these."""
        self.mean.copy_(differences.mean(0))
        self.deviation.copy_(differences.std((0, 2, 3)).clamp(min=1e-4)[:, None, None])


class Departure(nn.Module):
    """Face, counterpart -> map. `backbone` stays who gave it: it is neither trained nor part of the file.

    `facts` travel with the file: which generator's counterparts it learned from, and live captures' quantiles.
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
        self.layers = tuple(starts[stride] for stride in STRIDES)  # the layers whose outputs are compared
        self._backbone = [backbone]  # in a list, so that its weights are not this module's
        plain = torch.zeros(1, 3, face_size, face_size, device=self.device)
        with torch.no_grad():
            shapes = [each.shape[1:] for each in self.differences(plain, plain)]
        self.grid = face_size // COLOURS
        self.standards = nn.ModuleList(Standard(*shape) for shape in shapes)
        self.weighing = Weighing(2 * sum(shape[0] for shape in shapes))
        self.register_buffer("level", torch.zeros(self.grid, self.grid))
        self.register_buffer("spread", torch.ones(self.grid, self.grid))
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
        for place, layer in enumerate(self.backbone.features[: self.layers[-1] + 1]):
            features = layer(features)
            if place in self.layers:
                found.append(features)
        return found

    def differences(self, face: torch.Tensor, counterpart: torch.Tensor) -> list[torch.Tensor]:
        """Return features of the face less those of the counterpart, each (N, C, H, W)."""
        return [own - made for own, made in zip(self.features(face), self.features(counterpart), strict=True)]

    def logits(self, differences: list[torch.Tensor]) -> torch.Tensor:
        """Return how likely each place (N, G, G) was changed, by differences (N, C, H, W) of each layer."""
        seen = []
        for standard, each in zip(self.standards, differences, strict=True):
            x = standard(each)
            for one in (x, x.abs()):
                seen.append(F.interpolate(one, (self.grid, self.grid), mode="bilinear", align_corners=False))
        return self.weighing(torch.cat(seen, 1))

    def forward(self, face: torch.Tensor, counterpart: torch.Tensor) -> torch.Tensor:
        """Return the map (N, S, S) in 0..1: z / (z + 3) of the deviation z from live faces' mean, 0 where z < 0.

        So 0 is as in a live face or less, and one half is three deviations beyond it, in every picture.
        """
        size = (self.face_size, self.face_size)
        if face.shape != counterpart.shape or tuple(face.shape[-2:]) != size:
            raise InputError(
                f"face {tuple(face.shape)} and counterpart {tuple(counterpart.shape)}; expected both (N, 3, "
                f"{size[0]}, {size[1]}). Align the face, and make the counterpart from it."
            )
        return self.maps(self.differences(face, counterpart))

    def maps(self, differences: list[torch.Tensor]) -> torch.Tensor:
        """Return what `forward` does, of differences (N, C, H, W) of each layer."""
        deviations = (self.logits(differences) - self.level) / self.spread
        wide = F.interpolate(deviations[:, None], (self.face_size,) * 2, mode="bilinear", align_corners=False)
        beyond = wide[:, 0].clamp(min=0)
        return beyond / (beyond + HALF)

    @torch.no_grad()
    def strengths(self, lessons: Lessons) -> np.ndarray:
        """Return the mean of each map (N,): how strongly each face departs as a whole."""
        return torch.cat([self.maps(each).mean((1, 2)) for each in self._batches(lessons)]).cpu().numpy()

    def _batches(self, lessons: Lessons) -> Iterator[list[torch.Tensor]]:
        for part in torch.arange(len(lessons)).split(BATCH):
            yield [each[part].float().to(self.device) for each in lessons.differences]

    @torch.no_grad()
    def read(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> Lessons:
        """Return lessons of faces, their counterparts (N, 3, S, S) and the share of each pixel changed (N, S, S)."""
        found, changed = [], []
        for faces, counterparts, regions in batches:
            pair = (each.to(self.device) for each in (faces, counterparts))
            found.append([each.half().cpu() for each in self.differences(*pair)])
            changed.append(F.avg_pool2d(regions.float(), COLOURS))
        return Lessons([torch.cat(each) for each in zip(*found, strict=True)], torch.cat(changed))

    def learn(self, live: Lessons, changed: Lessons, *, steps: int = 400, seed: int = 0) -> None:
        """Measure the differences of live faces, and learn to tell changed places from them."""
        if len(live) < 2 or not len(changed):
            raise InputError(
                f"{len(live)} live faces, {len(changed)} changed; expected two and one at the least. Prepare more."
            )
        for standard, each in zip(self.standards, live.differences, strict=True):
            standard.measure(each.float().to(self.device))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for module in self.weighing.children():
                module.reset_parameters()
        self.weighing.requires_grad_(True)
        optimiser = torch.optim.AdamW(self.weighing.parameters(), lr=RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        weight = torch.tensor(CHANGED_WEIGHT, device=self.device)
        for step in track(range(steps), "train departure", steps):
            rng = step_rng(seed, step)
            drawn = [
                each.of(torch.randint(len(each), (count,), generator=rng).numpy())
                for each, count in ((changed, CHANGED), (live, LIVE))
            ]
            layers = zip(*(each.differences for each in drawn), strict=True)
            with torch.enable_grad():
                found = self.logits([torch.cat(layer).float().to(self.device) for layer in layers])
                wanted = torch.cat([each.changed for each in drawn]).to(self.device)
                loss = F.binary_cross_entropy_with_logits(found, wanted, pos_weight=weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        self.weighing.requires_grad_(False)
        with torch.no_grad():
            said = torch.cat([self.logits(each) for each in self._batches(live)])
        self.level.copy_(said.mean(0))
        self.spread.copy_(said.std(0).clamp(min=1e-3))


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
    for tensor in departure.backbone.features[: departure.layers[-1] + 1].state_dict().values():
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
