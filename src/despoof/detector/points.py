"""Where a detector decides, and what to expect there: liveness of samples that no weight was trained on, and facts."""

from dataclasses import asdict, dataclass

import numpy as np

from despoof.data.draws import CameraDraws
from despoof.detector.batches import Gathered
from despoof.detector.scoring import fit_calibration
from despoof.errors import InputError
from despoof.metrics import apcer_at_bpcer, auc, bpcer_at_apcer, by_species, ece, eer, mean_curves, proportion_interval

POINTS = (0.1, 0.05, 0.01)  # rates of the operating points that a detector's facts tell
STRICT = 0.07  # mean APCER over cameras; NIST SP 800-63 asks for less
LENIENT = 0.05  # mean BPCER over cameras; FIDO's largest share of people refused
SURE_ATTACK = 0.02  # mean BPCER below which a face is called an attack, not uncertain


@dataclass(frozen=True)
class UnseenLogits:
    """Logits (N,) of real captures, each by a detector that never saw its camera, and what they are of, all (N,)."""

    logit: np.ndarray  # float64, higher is more live
    live: np.ndarray  # bool
    camera: np.ndarray  # text
    person: np.ndarray  # text; one name for all of a camera: not told apart
    species: np.ndarray  # text, the attack's
    fold: np.ndarray  # int, which detector judged

    def __post_init__(self) -> None:
        if not np.isfinite(self.logit).all() or not 0 < self.live.sum() < len(self.live):
            raise InputError(
                f"{len(self.logit)} cross-fitted logits, {int(np.isfinite(self.logit).sum())} finite, "
                f"{int(self.live.sum())} of live; expected all finite, and both classes. Name another number of folds."
            )

    @property
    def share(self) -> np.ndarray:
        """A weight (N,) for each, so that every camera weighs the same within each class."""
        names = np.char.add(np.char.add(self.camera.astype(str), "|"), self.live.astype(str))
        _, which, counts = np.unique(names, return_inverse=True, return_counts=True)
        return 1 / counts[which]


def crossed_facts(judged: UnseenLogits) -> dict:
    """Return calibration, points, thresholds and figures that cross-fitted logits give, as a detector's facts."""
    from scipy.special import expit

    temperature, offset = fit_calibration(judged.logit, judged.live, judged.share)
    liveness = expit((judged.logit - offset) / temperature)
    points = named_points(liveness, judged)
    limits = {name: points["balanced"][name] for name in ("attack_below", "live_from")}
    areas = [
        auc(liveness[inside & judged.live], liveness[inside & ~judged.live])
        for inside in (judged.camera == name for name in np.unique(judged.camera))
        if 0 < judged.live[inside].sum() < inside.sum()
    ]
    crossed: dict = {"folds": len(np.unique(judged.fold)), "cameras": len(np.unique(judged.camera))}
    if areas:
        crossed |= {"auc": float(np.mean(areas)), "worst_auc": float(np.min(areas))}
    told = figures(liveness, judged, limits) | {"cross_fitted": crossed}
    return {
        "temperature": temperature, "offset": offset, "points": points, "thresholds": limits, "validation": told,
    }  # fmt: skip


def named_points(liveness: np.ndarray, judged: UnseenLogits, *, rounds: int = 1000) -> dict[str, dict]:
    """Return thresholds of liveness (N,) and the rates to expect of them on a camera never seen, by name of the point.

    Rates are means over cameras. strict: APCER at most `STRICT`; balanced: equal error; lenient: BPCER at most
    `LENIENT`; each on its side of balanced. Below `attack_below` at most `SURE_ATTACK` of the live lie. Intervals draw
    cameras, and people in them; the thresholds stay.
    """
    groups = [
        {str(name): liveness[mask & (judged.camera == name)] for name in np.unique(judged.camera[mask])}
        for mask in (judged.live, ~judged.live)
    ]
    curves = mean_curves(*groups)
    balanced = min(curves.equal_error().threshold, 1.0)
    live_from = {
        "strict": min(max(curves.at_apcer(STRICT).threshold, balanced), 1.0),
        "balanced": balanced,
        "lenient": min(curves.at_bpcer(LENIENT).threshold, balanced),
    }
    below = curves.at_bpcer(SURE_ATTACK).threshold
    draws = CameraDraws(judged.camera.tolist(), judged.person.tolist(), rounds=rounds)
    found = {}
    for name, high in live_from.items():
        low = min(below, high)
        found[name] = {
            "attack_below": low,
            "live_from": high,
            "expected": _expected(liveness, judged, (low, high), draws),
        }
    return found


def _expected(liveness: np.ndarray, judged: UnseenLogits, limits: tuple[float, float], draws: CameraDraws) -> dict:
    refused, passed = liveness < limits[1], liveness >= limits[1]
    attack, species = ~judged.live, np.unique(judged.species[~judged.live])
    kinds = {str(name): attack & (judged.species == name) for name in species} | {"mean": attack}
    return {
        "cameras": len(draws.names),
        "bpcer": _rate(refused, judged.live, draws),
        "uncertain_live": _rate(refused & (liveness >= limits[0]), judged.live, draws),
        "apcer": {name: _rate(passed, mask, draws) for name, mask in kinds.items()},
    }


def _rate(errors: np.ndarray, mask: np.ndarray, draws: CameraDraws) -> dict[str, float]:
    """Return the mean over cameras of the share of errors (N,) within a mask (N,), with its interval."""
    values, drawn = draws.shares(errors, mask)
    return {"value": float(np.nanmean(values)), **asdict(draws.interval(draws.mean(drawn)))}


def thresholds(liveness: np.ndarray, gathered: Gathered) -> dict[str, float]:
    """Return the two thresholds of the decision from liveness (N,) of validation.

    A face is LIVE from the threshold of equal error, ATTACK below the one where BPCER is at most 5 %, and UNCERTAIN
    between.
    """
    live, attacks = liveness[gathered.live], by_species(liveness[~gathered.live], _species(gathered))
    high = eer(live, liveness[~gathered.live])[1]
    low = min(apcer_at_bpcer(live, attacks, 0.05).threshold, high)
    return {"attack_below": low, "live_from": high}


def figures(liveness: np.ndarray, gathered: Gathered | UnseenLogits, limits: dict[str, float]) -> dict:
    """Return figures of liveness (N,) at the thresholds, and stricter points of APCER in every species and of BPCER."""
    live, attack = liveness[gathered.live], liveness[~gathered.live]
    attacks = by_species(attack, _species(gathered))
    refused, passed = (live < limits["live_from"]).sum(), (attack >= limits["live_from"]).sum()
    return {
        "live": len(live),
        "attack": len(attack),
        "auc": auc(live, attack),
        "eer": eer(live, attack)[0],
        "ece": ece(live, attack),
        "bpcer_at_live_from": asdict(proportion_interval(int(refused), len(live))),
        "apcer_pooled_at_live_from": asdict(proportion_interval(int(passed), len(attack))),
        **{f"bpcer_at_apcer_{share:g}": asdict(bpcer_at_apcer(live, attacks, share)) for share in POINTS},
        **{f"apcer_at_bpcer_{share:g}": asdict(apcer_at_bpcer(live, attacks, share)) for share in POINTS},
    }


def _species(gathered: Gathered | UnseenLogits) -> np.ndarray:
    """Return the species (A,) of the attacks."""
    count = int((~gathered.live).sum())
    return np.full(count, "attack") if gathered.species is None else gathered.species[~gathered.live]
