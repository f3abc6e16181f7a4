"""Rows of a store -> gathered samples -> domain-balanced batches that any step can rebuild from its number alone.

Worker processes may make batches ahead of their step; what a step gets does not depend on how many there are.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from despoof.cue import cue
from despoof.data.sample import Label
from despoof.detector.augment import apply_change, draw_change
from despoof.detector.config import DetectorConfig, DetectorTraining
from despoof.errors import InputError
from despoof.faces.align import as_tensor, scaled
from despoof.faces.counterparts import CounterpartCache, read_counterparts
from despoof.faces.mapped import mapped
from despoof.faces.store import Store, StoredSample
from despoof.faces.surroundings import SCALES, SURROUNDINGS_SIZE
from despoof.runs.config import config_hash
from despoof.runs.folder import held, read_json
from despoof.runs.processes import open_processes
from despoof.runs.seed import item_rng

HASHED = 256  # samples that are read at a time to be hashed


class Picked:
    """Some rows of an array that is mapped from disk: read when asked for, so that they need not fit into memory."""

    def __init__(self, whole: np.ndarray, places: np.ndarray) -> None:
        self.whole, self.places = whole, places
        self.shape, self.dtype = (len(places), *whole.shape[1:]), whole.dtype

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        """Return the rows of a place, a slice or an array of places as an array; a column, [:, …], stays mapped."""
        if isinstance(index, tuple):
            return Picked(self.whole[index], self.places)
        return self.whole[self.places[index]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.whole[place] for place in self.places)


class Gathered(NamedTuple):
    """All samples of a set: pixels in memory, or mapped from disk."""

    faces: np.ndarray  # (N, S, S, 3) uint8 RGB
    counterparts: np.ndarray | None  # (N, S, S, 3) uint8 RGB, None where no cue is used
    live: np.ndarray  # (N,) bool
    domain: np.ndarray  # (N,) int, any numbers
    keys: list[str]  # (N,) names, for score files
    simulated: np.ndarray | None = None  # (N,) bool, whether a simulated camera made it; None: none
    species: np.ndarray | None = None  # (N,) text, the attack's instrument; None: attacks are not told apart
    surroundings: np.ndarray | None = None  # (N, 2, R, R, 3) uint8 RGB, near and far; None where none are looked at


class Batch(NamedTuple):
    """What one step sees."""

    face: torch.Tensor  # (B, 3, S, S) in [-1, 1]
    cue: torch.Tensor | None  # (B, 3, S, S)
    live: torch.Tensor  # (B,) bool
    domain: torch.Tensor  # (B,) int64, 0 .. number of source domains - 1


def gather(
    store: Store,
    rows: list[StoredSample],
    config: DetectorConfig,
    counterparts: Path | None,
    scratch: Path | None = None,
) -> Gathered:
    """Return rows of a store with their pixels; `counterparts` is the folder that the cue is made from.

    With a folder `scratch`, pixels are written there once, a few at a time, and mapped from there: they need not fit
    into memory, and processes of one machine share them. What is learned is the same.
    """
    size = config.face_size
    if config.uses_cue and counterparts is None:
        raise InputError(f"insertion {config.insertion!r} needs counterparts. Give their folder.")
    domains = sorted({row.sample.domain for row in rows})
    cache = CounterpartCache(counterparts) if config.uses_cue and counterparts else None

    def read(span: slice) -> dict[str, np.ndarray]:
        some = rows[span]
        made = {"faces": store.faces(some, size)}
        if cache is not None:
            made["counterparts"] = read_counterparts(cache, some, size, faces=made["faces"])
        if config.uses_surroundings:
            made["surroundings"] = store.surroundings(some)
        return made

    if scratch is None or not rows:
        pixels = read(slice(None))
    else:
        told = [size, config.uses_surroundings, None if cache is None else read_json(cache.folder / "about.json")]
        label = config_hash([store.data_hash(rows), *told])
        with open_processes().local_main_process_first(), held(scratch / label):
            pixels = mapped(scratch / label, label, len(rows), read, title="read pixels")
    return Gathered(
        pixels["faces"],
        pixels.get("counterparts"),
        np.array([row.sample.label is Label.LIVE for row in rows], bool),
        np.array([domains.index(row.sample.domain) for row in rows], np.int64),
        [row.key for row in rows],
        np.array([row.sample.simulated for row in rows], bool),
        np.array([row.sample.attack_type for row in rows]),
        pixels.get("surroundings"),
    )


def check_gathered(gathered: Gathered, config: DetectorConfig, name: str) -> None:
    """Raise InputError where a set does not fit the config, before any work is done."""
    count, side = len(gathered.keys), config.face_size
    images, expected = {"faces": gathered.faces}, dict.fromkeys(("faces", "counterparts"), (count, side, side, 3))
    if config.uses_cue:
        if gathered.counterparts is None:
            raise InputError(f"{name} has no counterparts; insertion {config.insertion!r} needs them. Make them.")
        images["counterparts"] = gathered.counterparts
    if config.uses_surroundings:
        if gathered.surroundings is None:
            raise InputError(
                f"{name} has no surroundings; branches {config.branches} need them. Prepare a store again."
            )
        images["surroundings"] = gathered.surroundings
        expected["surroundings"] = (count, len(SCALES), SURROUNDINGS_SIZE, SURROUNDINGS_SIZE, 3)
    for what, array in images.items():
        if array.shape != expected[what] or array.dtype != np.uint8:
            raise InputError(
                f"{what} of {name} are {array.shape} {array.dtype}; expected {expected[what]} uint8. Gather them again."
            )
    if gathered.live.shape != (count,) or gathered.live.dtype != bool or gathered.domain.shape != (count,):
        raise InputError(
            f"{name} has {count} keys, live {gathered.live.shape} {gathered.live.dtype} and domain "
            f"{gathered.domain.shape}; expected one of each per key, live as bool. Gather them again."
        )


def gathered_hash(*sets: Gathered) -> str:
    """Return twelve hex digits that name sets: samples, pixels, classes, domains."""
    digest = hashlib.blake2b(digest_size=6)
    for gathered in sets:
        for part in gathered:
            array = part if isinstance(part, Picked) else np.asarray(part if part is not None else [])
            digest.update(f"{array.dtype}{array.shape}".encode())
            for first in range(0, len(array), HASHED):
                digest.update(np.ascontiguousarray(array[first : first + HASHED]).view(np.uint8))
    return digest.hexdigest()


def draw(gathered: Gathered, training: DetectorTraining, step: int, seed: int) -> np.ndarray:
    """Return the indices of one batch: per source domain, live then attack.

    Each of these groups is gone through in an order shuffled anew every time it is used up, so all samples
    are seen equally often; the order is keyed by (seed, group, round), hence a step needs no other step.
    """
    parts = []
    for domain in np.unique(gathered.domain):
        share = training.simulated_share if _is_simulated(gathered, domain) else 1.0
        for live, whole in ((True, training.live_per_domain), (False, training.attack_per_domain)):
            count = max(1, round(whole * share))
            pool = np.flatnonzero((gathered.domain == domain) & (gathered.live == live))
            if not len(pool):
                word = "live" if live else "attack"
                raise InputError(
                    f"source domain {domain} has no {word} samples; expected live and attack. Leave this domain out."
                )
            parts.append(_from_pool(pool, count, step, f"{seed}|{domain}|{live}"))
    return np.concatenate(parts)


def make_batch(
    gathered: Gathered,
    config: DetectorConfig,
    training: DetectorTraining,
    step: int,
    *,
    seed: int = 0,
    share: torch.Tensor | None = None,
) -> Batch:
    """Return the augmented batch of a step, or of its places (K,) in `share`.

    The change of an item is keyed by (seed, step, place).
    """
    indices = draw(gathered, training, step, seed)
    places = range(len(indices)) if share is None else share.tolist()
    indices = indices[places]
    side = config.face_size
    changes = [draw_change(item_rng(seed, "augment", step, place), training.augmentation, side) for place in places]
    face, counterpart = (
        None
        if images is None
        else np.stack([apply_change(images[i], change) for i, change in zip(indices, changes, strict=True)])
        for images in (gathered.faces, gathered.counterparts if config.uses_cue else None)
    )
    domain = np.searchsorted(np.unique(gathered.domain), gathered.domain[indices])
    return Batch(
        *inputs(face, counterpart, config),
        torch.from_numpy(gathered.live[indices]),
        torch.from_numpy(domain.astype(np.int64)),
    )


def inputs(
    faces: np.ndarray, counterparts: np.ndarray | None, config: DetectorConfig
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return what a detector takes, face and cue, from uint8 images (N, S, S, 3)."""
    face = as_tensor(faces, config.face_size)
    if not config.uses_cue or counterparts is None:
        return face, None
    return face, cue(face, as_tensor(counterparts, config.face_size), config.cue_form)


def input_batches(
    gathered: Gathered, config: DetectorConfig, batch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]]:
    """Yield face, cue and surroundings of a set, in order."""
    for start in range(0, len(gathered.keys), batch):
        part = slice(start, start + batch)
        counterparts = None if gathered.counterparts is None else gathered.counterparts[part]
        around = None
        if gathered.surroundings is not None and config.uses_surroundings:
            pixels = torch.from_numpy(gathered.surroundings[part])
            around = scaled(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        yield *inputs(gathered.faces[part], counterparts, config), around


def without_simulated(gathered: Gathered) -> Gathered:
    """Return the real captures of a set."""
    if gathered.simulated is None or not gathered.simulated.any():
        return gathered
    return chosen(gathered, real_places(gathered))


def real_places(gathered: Gathered) -> np.ndarray:
    """Return the indices (K,) of the real captures of a set."""
    return np.flatnonzero(np.full(len(gathered.keys), True) if gathered.simulated is None else ~gathered.simulated)


def chosen(gathered: Gathered, picks: np.ndarray) -> Gathered:
    """Return the samples at the indices `picks` (K,); what is mapped from disk stays there."""
    return Gathered(*(None if part is None else _chosen(part, picks) for part in gathered))


def _chosen(part: Any, picks: np.ndarray) -> Any:
    if isinstance(part, list):
        return [part[i] for i in picks]
    if isinstance(part, Picked):
        return Picked(part.whole, part.places[picks])
    return Picked(part, picks) if isinstance(part, np.memmap) else part[picks]


def in_memory(gathered: Gathered) -> Gathered:
    """Return a set whose pixels are arrays."""
    return Gathered(*(part[:] if isinstance(part, Picked) else part for part in gathered))


def _is_simulated(gathered: Gathered, domain: int) -> bool:
    return gathered.simulated is not None and bool(gathered.simulated[gathered.domain == domain].all())


def _from_pool(pool: np.ndarray, count: int, step: int, key: str) -> np.ndarray:
    places = np.arange(step * count, (step + 1) * count)
    rounds = places // max(len(pool), 1)
    orders = {r: item_rng(key, r).permutation(pool) for r in np.unique(rounds)}
    return np.array([orders[r][place % len(pool)] for r, place in zip(rounds, places, strict=True)], np.int64)


class Prefetched:
    """Give the batch of a step: made here where there are no workers, else the next of those made ahead.

    The first step asked for may be any, as when a run is resumed; after it they must be asked for in turn.
    `make` goes to the workers, so it must pickle: where processes are spawned, not forked, a closure does not.
    """

    def __init__(self, make: Callable[[int], Batch], steps: int, workers: int) -> None:
        self._make, self._steps, self._workers = make, steps, workers
        self._ahead: Iterator[Batch] | None = None

    def __call__(self, step: int) -> Batch:
        """Return the batch of this step."""
        if not self._workers:
            return self._make(step)
        if self._ahead is None:
            loader = DataLoader(
                _Made(self._make), batch_size=None, sampler=range(step, self._steps), num_workers=self._workers,
                worker_init_fn=_one_thread, prefetch_factor=4,
                generator=torch.Generator(),  # or it would draw from torch's own, on which dropout depends
            )  # fmt: skip
            self._ahead = iter(loader)
        return next(self._ahead)


class _Made(Dataset):
    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Batch:
        return self._make(step)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
