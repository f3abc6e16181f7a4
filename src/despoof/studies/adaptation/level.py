"""Faces of cameras that a detector never saw -> errors at the level that some of their live faces set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from despoof.adaptation import EVEN, level
from despoof.calibration import FEWEST
from despoof.evaluation.tables import markdown
from despoof.profile import logit_of
from despoof.runs.seed import item_rng
from despoof.studies.adaptation.study import FEW_PEOPLE, Unseen, mean_over, split, spread

COUNTS = (1, 3, 5, 10, 20, 50)  # live faces shown
HEAD = (
    "live alone", "cameras", "HTER as it is", "shifted", "difference", "BPCER as it is", "shifted", "APCER as it is",
    "shifted", "difference", "cameras made worse", "APCER of those lifted",
)  # fmt: skip
ABOUT = """Live faces alone, which set the level: all logits are shifted by half of the way from their median to that of
the live faces of all other cameras, upwards by 1 at most. Lifted are the cameras whose mean shift is upwards; their
APCER is what live recordings alone cost."""


@dataclass(frozen=True)
class Levelled:
    """One camera by the count shown: (draws, 4) BPCER and APCER as it is, then shifted; and the mean shift."""

    name: str
    rates: dict[int, np.ndarray]
    shift: dict[int, float]


def measure_level(
    found: Unseen, *, counts: Sequence[int] = COUNTS, draws: int = 20, seed: int = 0
) -> list[Levelled]:  # fmt: skip
    """Return what each camera's draws gave; shown and tested are divided as by `measure`."""
    logit, names = logit_of(found.liveness), np.unique(found.camera)
    medians = np.array([np.median(logit[(found.camera == name) & found.live]) for name in names])
    cameras = []
    for own, name in enumerate(names):
        places = np.flatnonzero(found.camera == name)
        by = "people" if len(np.unique(found.person[places])) >= FEW_PEOPLE else "captures"
        others, rates = float(np.delete(medians, own).mean()), {count: [] for count in counts}
        shifts: dict[int, list[float]] = {count: [] for count in counts}
        for draw in range(draws):
            rng = item_rng("adaptation", seed, name, draw)
            shown, tested = split(found, places, by, rng)
            if min(found.live[tested].sum(), (~found.live[tested]).sum()) < FEWEST:
                continue
            order = spread(found, shown[found.live[shown]], by, rng)
            for count in (count for count in counts if count <= len(order)):
                correction = level(found.liveness[order[:count]], others)
                after = correction.corrected(found.liveness[tested], None)
                rates[count].append([*_rates(found, tested, found.liveness[tested]), *_rates(found, tested, after)])
                shifts[count].append(correction.constant)
        kept = {count: np.array(each) for count, each in rates.items() if len(each) == draws}
        if kept:
            cameras.append(Levelled(str(name), kept, {count: float(np.mean(shifts[count])) for count in kept}))
    return cameras


def level_table(cameras: Sequence[Levelled], seed: int = 0) -> str:
    """Return the table of the means over cameras, in percent, with intervals over cameras."""
    lines = []
    for count in sorted({count for camera in cameras for count in camera.rates}):
        there = [camera for camera in cameras if count in camera.rates]
        means = 100 * np.array([camera.rates[count].mean(0) for camera in there])
        before, after = means[:, :2].mean(1), means[:, 2:].mean(1)
        lifted = np.array([camera.shift[count] > 0 for camera in there])
        cost = "–"
        if lifted.any():
            cost = f"{means[lifted, 1].mean():.1f} → {means[lifted, 3].mean():.1f} ({lifted.sum()} cameras)"
        lines.append((
            str(count), str(len(there)), _shown(before, seed), _shown(after, seed), _shown(after - before, seed, "+"),
            f"{means[:, 0].mean():.1f}", f"{means[:, 2].mean():.1f}", f"{means[:, 1].mean():.1f}",
            f"{means[:, 3].mean():.1f}", _shown(means[:, 3] - means[:, 1], seed, "+"),
            str(int((after > before).sum())), cost,
        ))  # fmt: skip
    return markdown(HEAD, lines)


def others_live(found: Unseen) -> float:
    """Return the mean over cameras of the median logit of their live faces, which `despoof.adaptation` holds."""
    logit = logit_of(found.liveness)
    return float(np.mean([np.median(logit[(found.camera == name) & found.live]) for name in np.unique(found.camera)]))


def _rates(found: Unseen, tested: np.ndarray, liveness: np.ndarray) -> tuple[float, float]:
    live, accepted = found.live[tested], liveness >= EVEN
    return float((~accepted[live]).mean()), float(accepted[~live].mean())


def _shown(values: np.ndarray, seed: int, sign: str = "") -> str:
    return mean_over(values, seed).tenths(sign)
