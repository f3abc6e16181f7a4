"""Faces of cameras that a detector never saw -> errors with a correction, and with thresholds, from some of them.

The detectors are the folds of `despoof train detector`: each learned from the other folds' cameras, and is calibrated
on these alone. Of each camera some people are shown and the others tested; where people are not told apart, captures,
and the tested ones lie together in the order of their files, since neighbours are often of one clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from despoof.adaptation import EVEN, fit_correction, half_total
from despoof.calibration import FEWEST, live_from_of
from despoof.detector.batches import chosen, gather
from despoof.detector.frozen.reading import Numbers
from despoof.detector.network import load_detector
from despoof.detector.points import UnseenLogits
from despoof.detector.recipe import FILE
from despoof.detector.scoring import fit_calibration
from despoof.errors import InputError
from despoof.faces.store import Store
from despoof.runs.folder import read_json
from despoof.runs.progress import track
from despoof.runs.seed import item_rng
from despoof.studies.tables import Estimate

COUNTS = (0, 1, 2, 5, 10, 20, 50)  # live faces shown, and as many attacks
BPCER = 0.05  # wanted of thresholds, as `despoof calibrate` does
FEW_PEOPLE = 10  # of a camera, below which captures are told apart and not people
SHOWN = {"people": 1 / 2, "captures": 2 / 3}  # the largest share that is shown, the rest is tested
BATCH = 512
ROUNDS = 2000


@dataclass(frozen=True)
class Unseen:
    """Faces, each as a detector gives them that never saw its camera; all (N,) but the embeddings (N, E)."""

    liveness: np.ndarray
    embedding: np.ndarray
    live: np.ndarray
    camera: np.ndarray
    person: np.ndarray
    width: float | None  # of the correction; None: the faces say it


class Trial(NamedTuple):
    """HTER of one draw of one camera on what is tested: as it is, corrected, and at thresholds of the live alone."""

    plain: float
    corrected: float
    thresholds: float  # NaN for fewer than `calibrate` takes


@dataclass(frozen=True)
class Camera:
    """HTER of one camera by the count shown, each (draws, 3) in the order of `Trial`; `by` is people or captures."""

    name: str
    by: str
    trials: dict[int, np.ndarray]


@dataclass(frozen=True)
class Row:
    """Figures for one count over the cameras that have as many, in percent."""

    shown: int
    cameras: int
    plain: Estimate
    corrected: Estimate
    difference: Estimate
    worse: int  # cameras on which the correction makes more errors
    thresholds: Estimate | None


def unseen(store: Store, run: Path) -> Unseen:
    """Return every capture of a store that the folds of a run judged, calibrated without its fold."""
    folds = sorted(run.glob("fold-*"))
    if len(folds) < 2:
        raise InputError(f"{run} holds {len(folds)} folds; expected those of: despoof train detector --preset kernel")
    rows = {row.key: row for row in store.with_face()}
    numbers, logits, points, rests, judged = Numbers.of_store(store), [], [], [], []
    for number, folder in enumerate(track(folds, "folds", len(folds))):
        detector = load_detector(folder / FILE)
        own = [rows[key] for key in read_json(folder / "logits.json")["logits"] if key in rows]
        own.sort(key=lambda row: row.sample.path)
        if detector.config.uses_cue or not own:
            raise InputError(f"{folder} judged {len(own)} captures of {store.root}, without a cue; expected such.")
        gathered = gather(store, own, detector.config, None)
        for start in range(0, len(own), BATCH):
            part = chosen(gathered, np.arange(start, min(start + BATCH, len(own))))
            with torch.inference_mode():
                logit, embedding = detector.answer(numbers.read(detector, part))
            logits.append(logit.double().numpy())
            points.append(embedding.numpy())
        rests += [number] * len(own)
        judged += own
    logit, fold = np.concatenate(logits), np.array(rests)
    live = np.array([row.sample.label.value == "live" for row in judged])
    camera, person = (np.array([getattr(row.sample, name) for row in judged]) for name in ("domain", "subject"))
    species = np.array([row.sample.attack_type for row in judged])
    share = UnseenLogits(logit, live, camera, person, species, fold).share
    liveness = np.empty_like(logit)
    for number in np.unique(fold):
        own = fold == number
        temperature, offset = fit_calibration(logit[~own], live[~own], share[~own])
        liveness[own] = 1 / (1 + np.exp(-(logit[own] - offset) / temperature))
    width = 1.0 if detector.config.kernel else None
    return Unseen(liveness, np.concatenate(points), live, camera, person, width)


def measure(found: Unseen, *, counts: Sequence[int] = COUNTS, draws: int = 20, seed: int = 0) -> list[Camera]:
    """Return what each camera's draws gave; one with fewer than `FEWEST` tested of a class is left out.

    One draw tests the same faces whatever the count.
    """
    cameras = []
    for name in np.unique(found.camera):
        places = np.flatnonzero(found.camera == name)
        by = "people" if len(np.unique(found.person[places])) >= FEW_PEOPLE else "captures"
        trials: dict[int, list[Trial]] = {count: [] for count in counts}
        for draw in range(draws):
            rng = item_rng("adaptation", seed, name, draw)
            shown, tested = split(found, places, by, rng)
            if min(found.live[tested].sum(), (~found.live[tested]).sum()) < FEWEST:
                continue
            order = {live: spread(found, shown[found.live[shown] == live], by, rng) for live in (True, False)}
            for count in counts:
                if min(map(len, order.values())) >= count:
                    trials[count].append(_trial(found, [order[live][:count] for live in (True, False)], tested))
        kept = {count: np.array(each) for count, each in trials.items() if len(each) == draws}
        if kept:
            cameras.append(Camera(str(name), by, kept))
    return cameras


def rows(cameras: Sequence[Camera], seed: int = 0) -> list[Row]:
    """Return the means over cameras for each count, with intervals over cameras."""
    found = []
    for count in sorted({count for camera in cameras for count in camera.trials}):
        means = np.array([camera.trials[count].mean(0) for camera in cameras if count in camera.trials])
        plain, corrected, thresholds = 100 * means.T
        difference = corrected - plain
        estimates = (mean_over(each, seed) for each in (plain, corrected, difference))
        own = None if np.isnan(thresholds).any() else mean_over(thresholds, seed)
        found.append(Row(count, len(means), *estimates, int((difference > 0).sum()), own))
    return found


def split(found: Unseen, places: np.ndarray, by: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return places to show and to test: no person in both, or no capture.

    Of captures it is as much of each class, and those tested are neighbours, from a place that is drawn.
    """
    if by == "people":
        names = rng.permutation(np.unique(found.person[places]))
        inside = np.isin(found.person[places], names[: int(SHOWN[by] * len(names))])
        return places[inside], places[~inside]
    parts: list[list[np.ndarray]] = [[], []]
    for live in (True, False):
        own = places[found.live[places] == live]
        order = np.roll(own, rng.integers(len(own)))
        for part, each in zip(parts, np.split(order, [int(SHOWN[by] * len(order))]), strict=True):
            part.append(each)
    return np.concatenate(parts[0]), np.concatenate(parts[1])


def spread(found: Unseen, places: np.ndarray, by: str, rng: np.random.Generator) -> np.ndarray:
    """Return places in the order in which they are shown: by chance, a first face of each person before a second."""
    order = rng.permutation(places)
    if by == "captures":
        return order
    seen: dict[str, int] = {}
    turns = []
    for person in found.person[order]:
        turns.append(seen.get(person, 0))
        seen[person] = turns[-1] + 1
    return order[np.argsort(turns, kind="stable")]


def _trial(found: Unseen, shown: Sequence[np.ndarray], tested: np.ndarray) -> Trial:
    live, own = found.live[tested], found.liveness[tested]
    plain, limited = half_total((own >= EVEN) != live, live), np.nan
    if len(shown[0]) >= FEWEST:
        limit = live_from_of(found.liveness[shown[0]], BPCER)
        limited = half_total((own >= limit) != live, live)
    places = np.concatenate(list(shown))
    if not len(places):
        return Trial(plain, plain, limited)
    correction = fit_correction(found.embedding[places], found.liveness[places], found.live[places], found.width)
    corrected = correction.corrected(own, found.embedding[tested])
    return Trial(plain, half_total((corrected >= EVEN) != live, live), limited)


def mean_over(values: np.ndarray, seed: int) -> Estimate:
    """Return the mean over cameras (N,) with the interval of drawing cameras."""
    rng: np.random.Generator = item_rng("cameras", seed)
    drawn = values[rng.integers(len(values), size=(ROUNDS, len(values)))].mean(1)
    return Estimate(float(values.mean()), *map(float, np.quantile(drawn, (0.025, 0.975))))
