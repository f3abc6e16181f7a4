"""Does a map find what was changed? Live faces changed in one place, by what no map learns from.

A moiré patch, a glare spot, the edge of a sheet (`data.simulation.local`): where does the map peak, and how much of the
change does the generator leave in the counterpart, where no map can see it?
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch

from despoof.data.simulation.local import KINDS, change
from despoof.departure.departure import BATCH, Departure
from despoof.departure.teaching import plain
from despoof.generator.generator import Generator


class Cases(NamedTuple):
    """Changed faces and as they were, the counterparts of both (N, 3, S, S); regions (N, S, S) bool; kinds (N,)."""

    faces: torch.Tensor
    before: torch.Tensor
    made: torch.Tensor
    made_before: torch.Tensor
    regions: np.ndarray
    kinds: np.ndarray

    def departures(self, departure: Departure, *, removed: bool = False) -> np.ndarray:
        """Return the maps (N, S, S); `removed`: as if the counterpart held nothing of the change."""
        made = self.made_before if removed else self.made
        with torch.inference_mode():
            parts = zip(self.faces.split(BATCH), made.split(BATCH), strict=True)
            return torch.cat([departure(*each) for each in parts]).cpu().numpy()

    def residuals(self, *, removed: bool = False) -> np.ndarray:
        """Return the difference of pixels (N, S, S), summed over colours: the cue that was shown before maps were."""
        return (self.faces - (self.made_before if removed else self.made)).abs().sum(1).numpy()

    def found(self, maps: np.ndarray) -> np.ndarray:
        """Return of which maps (N, S, S) the highest place lies inside what was changed (N,)."""
        peaks = maps.reshape(len(maps), -1).argmax(1)
        return self.regions.reshape(len(maps), -1)[np.arange(len(maps)), peaks]

    def kept(self) -> dict[str, float]:
        """Return the share of the changes of each kind that comes back in counterparts: their change, projected."""
        given, back = (self.faces - self.before).flatten(1), (self.made - self.made_before).flatten(1)
        of = {kind: torch.from_numpy(self.kinds == kind) for kind in KINDS}
        return {kind: float((given[own] * back[own]).sum() / (given[own] ** 2).sum()) for kind, own in of.items()}


def cases(live: Sequence[np.ndarray], generator: Generator, count: int, seed: int = 0) -> Cases:
    """Return so many changes of live faces (S, S, 3) uint8, which take turns, as the kinds do."""
    kinds = [KINDS[i % len(KINDS)] for i in range(count)]
    live = live[:count]
    changes = [change(live[i % len(live)], kind, seed + i) for i, kind in enumerate(kinds)]
    with torch.inference_mode():
        faces, made = _paired([one.face for one in changes], generator)
        before, made_before = _paired(live, generator)
    size, places = generator.config.face_size, [i % len(live) for i in range(count)]
    regions = np.stack([cv2.resize(one.region.astype(np.uint8), (size, size)) > 0 for one in changes])
    return Cases(faces, before[places], made, made_before[places], regions, np.array(kinds))


def _paired(faces: Sequence[np.ndarray], generator: Generator) -> tuple[torch.Tensor, torch.Tensor]:
    faces, made, _ = zip(*plain(np.stack(faces), generator), strict=True)
    return torch.cat(faces), torch.cat(made)
