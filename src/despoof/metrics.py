"""Error rates of liveness: plain functions on arrays, named so that polarity cannot be mistaken.

Liveness is higher for more live, and a presentation is accepted when liveness >= threshold. Live and attack
scores are separate arrays; attacks that differ by species are a dict species -> array. Definitions follow
ISO/IEC 30107-3 where it has one. Rates are in 0..1. NaN, infinity and an empty class raise InputError.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from despoof.errors import InputError

Attacks = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with the error rates there; `apcer` is the largest over species."""

    threshold: float
    apcer: float
    bpcer: float


@dataclass(frozen=True)
class MeanCurves:
    """Rates (T,) at rising thresholds (T,), averaged over groups that weigh the same, such as cameras."""

    thresholds: np.ndarray
    apcer: np.ndarray
    bpcer: np.ndarray

    def equal_error(self) -> OperatingPoint:
        """Return the point where both means differ least; of equal ones the lower mean, then the stricter."""
        gap, mean = np.abs(self.apcer - self.bpcer), (self.apcer + self.bpcer) / 2
        return self._point(int(np.lexsort((-self.thresholds, mean.round(12), gap.round(12)))[0]))

    def at_apcer(self, target: float) -> OperatingPoint:
        """Return the point of the lowest threshold at which the mean APCER <= target."""
        _share(target)
        return self._point(int(np.argmax(self.apcer <= target + 1e-12)))  # falls along thresholds and ends at 0

    def at_bpcer(self, target: float) -> OperatingPoint:
        """Return the point of the highest threshold at which the mean BPCER <= target."""
        _share(target)
        return self._point(int(np.flatnonzero(self.bpcer <= target + 1e-12)[-1]))  # begins at 0

    def _point(self, place: int) -> OperatingPoint:
        return OperatingPoint(*(float(each[place]) for each in (self.thresholds, self.apcer, self.bpcer)))


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """Equal-width bins of liveness 0..1, (bins,) each: mean liveness, share of live, presentations.

    An empty bin has NaN for both shares.
    """

    claimed: np.ndarray
    live_share: np.ndarray
    presented: np.ndarray


def bpcer(live_scores: np.ndarray, threshold: float) -> float:
    """Return the share of live presentations rejected."""
    return float((_checked(live_scores, "live") < _number(threshold)).mean())


def apcer_pooled(attack_scores: np.ndarray, threshold: float) -> float:
    """Return the share of attacks accepted, species not told apart (so not the APCER of ISO/IEC 30107-3)."""
    return float((_checked(attack_scores, "attack") >= _number(threshold)).mean())


def apcer(attacks: Attacks, threshold: float) -> dict[str, float]:
    """Return the share of attacks accepted, for each species."""
    _some_species(attacks)
    return {species: apcer_pooled(scores, threshold) for species, scores in attacks.items()}


def by_species(attack_scores: np.ndarray, species: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
    """Return attack scores (A,) by the name (A,) of their species, in alphabetic order, all domains pooled."""
    names = np.asarray(species)
    return {str(name): np.asarray(attack_scores, np.float64)[names == name] for name in np.unique(names)}


def hter(live_scores: np.ndarray, attack_scores: np.ndarray, threshold: float) -> float:
    """Return the mean of pooled APCER and BPCER at a threshold that was fixed on other samples."""
    return (apcer_pooled(attack_scores, threshold) + bpcer(live_scores, threshold)) / 2


def eer(live_scores: np.ndarray, attack_scores: np.ndarray) -> tuple[float, float]:
    """Return the equal error rate and its threshold.

    The value is the mean of both rates where they differ least, since on finite samples they seldom meet;
    of equal choices the lower mean, then the stricter threshold. Constant scores give 0.5.
    """
    return d_eer(live_scores, {"pooled": attack_scores})


def d_eer(live_scores: np.ndarray, attacks: Attacks) -> tuple[float, float]:
    """Return the detection equal error rate and its threshold: `eer` of the largest APCER over species.

    With one species it is the equal error rate; with several it is at least that.
    """
    live, thresholds, passed = _curves(live_scores, attacks)
    refused = 1 - _accepted(live, thresholds)
    mean = (passed + refused) / 2
    # Rounded, or a difference of 1e-17 would decide between two choices that are equal.
    best = np.lexsort((-thresholds, mean.round(12), np.abs(passed - refused).round(12)))[0]
    return float(mean[best]), float(thresholds[best])


def auc(live_scores: np.ndarray, attack_scores: np.ndarray) -> float:
    """Return the probability that a live presentation scores above an attack; ties count half."""
    live, attack = _checked(live_scores, "live"), np.sort(_checked(attack_scores, "attack"))
    below, not_above = np.searchsorted(attack, live, "left"), np.searchsorted(attack, live, "right")
    return float((below + not_above).mean() / (2 * len(attack)))


def bpcer_at_apcer(live_scores: np.ndarray, attacks: Attacks, target: float) -> OperatingPoint:
    """Return the point of the lowest threshold at which every species has APCER <= target.

    That is the strictest of the per-species thresholds. Targets 0.1, 0.05 and 0.01 give what the standard
    calls BPCER10, BPCER20 and BPCER100.
    """
    _share(target)
    live, thresholds, passed = _curves(live_scores, attacks)
    first = int(np.argmax(passed <= target))  # passed falls along thresholds and ends at 0
    return _point(live, thresholds[first], passed[first])


def apcer_at_bpcer(live_scores: np.ndarray, attacks: Attacks, target: float) -> OperatingPoint:
    """Return the point of the highest threshold at which BPCER <= target."""
    _share(target)
    live, thresholds, passed = _curves(live_scores, attacks)
    refused = np.searchsorted(np.sort(live), thresholds, "left") / len(live)
    last = int(np.flatnonzero(refused <= target)[-1])  # refused begins at 0
    return _point(live, thresholds[last], passed[last])


def tpr_at_fpr(live_scores: np.ndarray, attack_scores: np.ndarray, target: float) -> float:
    """Return the share of live accepted at the last ROC point whose share of accepted attacks <= target.

    The convention of FLIP (live is positive, no interpolation). Other papers call attacks positive and mean
    another number by the same name; outside paper-style tables use `bpcer_at_apcer`.
    """
    return 1 - bpcer_at_apcer(live_scores, {"pooled": attack_scores}, target).bpcer


def roc(live_scores: np.ndarray, attack_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return thresholds (rising), pooled APCER and BPCER at each: the whole curve, nothing dropped."""
    live, thresholds, passed = _curves(live_scores, {"pooled": attack_scores})
    return thresholds, passed, np.searchsorted(np.sort(live), thresholds, "left") / len(live)


def ece(live_scores: np.ndarray, attack_scores: np.ndarray, *, bins: int = 15) -> float:
    """Return the expected calibration error of liveness read as P(live), in equal-width bins.

    The mean over presentations of |mean liveness - share of live| in their bin. Liveness outside 0..1 is no
    probability and raises InputError.
    """
    claimed, live, presented = _binned(live_scores, attack_scores, bins)
    return float(np.abs(claimed - live).sum() / presented.sum())


def reliability(live_scores: np.ndarray, attack_scores: np.ndarray, *, bins: int = 15) -> Reliability:
    """Return what liveness claims and how often it is right, in the bins of `ece`."""
    claimed, live, presented = _binned(live_scores, attack_scores, bins)
    whole = np.where(presented > 0, presented, np.nan)
    return Reliability(claimed / whole, live / whole, presented)


def mean_curves(live: Attacks, attacks: Attacks) -> MeanCurves:
    """Return pooled APCER of each group of attacks and BPCER of each group of live, averaged over the groups.

    Groups are such as cameras, name -> scores (N,), and weigh the same, whatever their size. One that lacks a class
    counts in the mean of the other alone.
    """
    if not live or not attacks:
        raise InputError(f"{len(live)} groups of live, {len(attacks)} of attacks; expected at least one of each.")
    both = [
        [_checked(scores, f"{label} ({name})") for name, scores in groups.items()]
        for label, groups in (("live", live), ("attack", attacks))
    ]
    thresholds = _thresholds(*both[0], *both[1])
    accepted, passed = (np.mean([_accepted(scores, thresholds) for scores in groups], axis=0) for groups in both)
    return MeanCurves(thresholds, passed, 1 - accepted)


def non_response_rate(unanswered: int, presented: int) -> float:
    """Return the share of presentations without a decision (APNRR of attacks, BPNRR of live)."""
    _counts(unanswered, presented)
    return unanswered / presented


def proportion_interval(errors: float, presented: int, *, confidence: float = 0.95) -> Interval:
    """Return the Clopper-Pearson interval of errors / presented.

    It takes presentations as independent; where one subject gave many, the truth is wider. `errors` may be
    a mean over seeds and so need not be whole.
    """
    _counts(errors, presented)
    tail = (1 - confidence) / 2
    low = 0.0 if errors <= 0 else beta_quantile(tail, errors, presented - errors + 1)
    high = 1.0 if errors >= presented else beta_quantile(1 - tail, errors + 1, presented - errors)
    return Interval(low, high)


def beta_quantile(share: float, a: float, b: float) -> float:
    """Return the x below which a share of the beta distribution of a and b lies, by halving 0..1."""
    low, high = 0.0, 1.0
    while high - low > 1e-13 * high + 1e-300:
        x = (low + high) / 2
        low, high = (x, high) if _beta_share(x, a, b) < share else (low, x)
    return high


def _beta_share(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function by its continued fraction (DLMF 8.17.22), bottom up."""
    if x > (a + 1) / (a + b + 2):  # where the fraction is slow
        return 1 - _beta_share(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    fraction = 1.0
    for m in range(math.ceil(20 + 4 * math.sqrt(max(a, b))), 0, -1):  # it needs some sqrt(max(a, b)) terms
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    odd = -(a + b) * x / (a + 1)
    return math.exp(log_front) / (a * (1 + odd / fraction))


def rule_of_three(presented: int) -> float:
    """Return the error rate that zero errors in `presented` trials cannot exclude (one-sided 95 %, 3 / n)."""
    _counts(0, presented)
    return min(1.0, 3 / presented)


def _checked(scores: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise InputError(f"{name} scores of shape {values.shape}; expected one axis. Flatten them first.")
    if not len(values):
        raise InputError(f"no {name} scores; expected at least one. Choose samples that hold both classes.")
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} {name} scores are NaN or infinite; expected finite "
            "numbers. Count those presentations as non-responses."
        )
    return values


def _binned(live_scores: np.ndarray, attack_scores: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each bin, the sum of liveness, the number of live and the number of presentations."""
    live, attack = _checked(live_scores, "live"), _checked(attack_scores, "attack")
    liveness = np.concatenate([live, attack])
    if liveness.min() < 0 or liveness.max() > 1:
        raise InputError(
            f"liveness spans {liveness.min():.3g}..{liveness.max():.3g}; a calibration error needs "
            "probabilities in 0..1. Calibrate the scores first."
        )
    place = np.minimum((liveness * bins).astype(int), bins - 1)
    live_counts = np.bincount(place[: len(live)], minlength=bins)
    return np.bincount(place, liveness, bins), live_counts, np.bincount(place, minlength=bins)


def _number(threshold: float) -> float:
    if np.isnan(threshold):
        raise InputError("threshold is NaN; expected a number. Compute it on samples that hold both classes.")
    return threshold


def _some_species(attacks: Attacks) -> None:
    if not attacks:
        raise InputError("no attack species; expected at least one. Choose samples that hold both classes.")


def _share(target: float) -> None:
    if not 0 <= target <= 1:
        raise InputError(f"target rate {target!r}; expected 0..1. Write 1 % as 0.01.")


def _counts(errors: float, presented: int) -> None:
    if presented < 1 or not 0 <= errors <= presented:
        raise InputError(f"{errors} of {presented}; expected 0 <= errors <= presented and presented >= 1.")


def _thresholds(*scores: np.ndarray) -> np.ndarray:
    """Return every threshold that matters, rising: below all scores, between any two, above all.

    Between two scores the middle is taken: any value there decides alike on these scores, and the middle
    leaves room on both sides for others.
    """
    values = np.unique(np.concatenate(scores))
    middle = values[:-1] + (values[1:] - values[:-1]) / 2
    middle = np.where(middle > values[:-1], middle, values[1:])  # neighbours in floating point have no middle
    return np.concatenate([values[:1], middle, [np.nextafter(values[-1], np.inf)]])


def _accepted(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of scores >= each threshold; counted from above, so that k of n is exactly k / n."""
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds, "left")) / len(scores)


def _curves(live_scores: np.ndarray, attacks: Attacks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return checked live scores, thresholds, and the largest APCER over species at each."""
    _some_species(attacks)
    live = _checked(live_scores, "live")
    checked = [_checked(scores, f"attack ({species})") for species, scores in attacks.items()]
    thresholds = _thresholds(live, *checked)
    return live, thresholds, np.max([_accepted(scores, thresholds) for scores in checked], axis=0)


def _point(live: np.ndarray, threshold: float, passed: float) -> OperatingPoint:
    return OperatingPoint(float(threshold), float(passed), bpcer(live, threshold))
