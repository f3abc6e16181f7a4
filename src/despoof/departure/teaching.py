"""What a map learns from: live faces and their counterparts, live faces changed in one place and the counterparts then.

Cameras are dealt into two halves, so that each half can be judged by a map that learned from the other; pieces that are
put into a face come from its own half.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from despoof.data.sample import Label
from despoof.data.simulation.patches import patched
from despoof.departure.departure import BATCH
from despoof.faces.align import FACE_SIZE, as_tensor
from despoof.faces.store import Store, StoredSample
from despoof.generator.generator import Generator
from despoof.runs.progress import track
from despoof.runs.seed import item_rng

Batches = Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]  # as `Departure.read` takes them


class Drawn(NamedTuple):
    """Faces (N, S, S, 3) uint8 as they lie on disk, the camera of each, in which half of the cameras it is (N,)."""

    faces: np.ndarray
    cameras: list[str]
    folds: np.ndarray

    def and_others(self, others: np.ndarray) -> "Drawn":
        """Return these and faces of no camera, which are in neither half."""
        folds = np.concatenate([self.folds, np.full(len(others), -1)])
        return Drawn(np.concatenate([self.faces, others]), [*self.cameras, *[""] * len(others)], folds)


def drawn(store: Store, label: Label, each: int) -> Drawn:
    """Return so many captures of each camera, the same in any run."""
    by_camera: dict[str, list[StoredSample]] = {}
    rows = store.with_face()
    half = {camera: i % 2 for i, camera in enumerate(sorted({row.sample.domain for row in rows}))}
    for row in rows:
        if row.sample.label == label:
            by_camera.setdefault(row.sample.domain, []).append(row)
    for found in by_camera.values():
        found.sort(key=lambda row: item_rng("departure", row.key).random())
    chosen = [row for camera in sorted(by_camera) for row in by_camera[camera][:each]]
    cameras = [row.sample.domain for row in chosen]
    return Drawn(store.faces(chosen, FACE_SIZE), cameras, np.array([half[camera] for camera in cameras]))


def plain(faces: np.ndarray, generator: Generator) -> Batches:
    """Yield faces as the generator takes them, their counterparts, and that nothing was changed."""
    for start in range(0, len(faces), BATCH):
        face, counterpart = _paired(faces[start : start + BATCH], generator)
        yield face, counterpart, torch.zeros(len(face), *face.shape[-2:])


def changed(live: Drawn, of: np.ndarray, generator: Generator, seed: int) -> Batches:
    """Yield live faces, those of numbers `of`, changed in one place, their counterparts, and where."""
    size, first = generator.config.face_size, range(0, len(of), BATCH)
    for start in track(first, "changed faces", len(first)):
        made, regions = [], []
        for number in range(start, min(start + BATCH, len(of))):
            rng, own = item_rng(seed, "changed", number), of[number]
            other = rng.choice(np.flatnonzero(live.folds == live.folds[own]))
            face, region = patched(live.faces[own], live.faces[other], rng)
            made.append(face)
            regions.append(region)
        where = torch.from_numpy(np.stack(regions)).float()[:, None]
        yield *_paired(np.stack(made), generator), F.interpolate(where, (size, size), mode="area")[:, 0]


def _paired(faces: np.ndarray, generator: Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return faces (N, S, S, 3) uint8 as the generator takes them, and their counterparts."""
    face = as_tensor(faces, generator.config.face_size)
    return face, generator.counterpart(face)
