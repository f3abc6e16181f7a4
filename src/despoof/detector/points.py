"""Where a detector decides, and what to expect there: liveness of samples that no weight was trained on, and facts."""

from dataclasses import asdict

import numpy as np

from despoof.detector.batches import Gathered
from despoof.metrics import apcer_at_bpcer, auc, bpcer_at_apcer, by_species, ece, eer, proportion_interval

POINTS = (0.1, 0.05, 0.01)  # rates of the operating points that a detector's facts tell


def thresholds(liveness: np.ndarray, gathered: Gathered) -> dict[str, float]:
    """Return the two thresholds of the decision from liveness (N,) of validation.

    A face is LIVE from the threshold of equal error, ATTACK below the one where BPCER is at most 5 %, and UNCERTAIN
    between.
    """
    live, attacks = liveness[gathered.live], by_species(liveness[~gathered.live], _species(gathered))
    high = eer(live, liveness[~gathered.live])[1]
    low = min(apcer_at_bpcer(live, attacks, 0.05).threshold, high)
    return {"attack_below": low, "live_from": high}


def figures(liveness: np.ndarray, gathered: Gathered, limits: dict[str, float]) -> dict:
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


def _species(gathered: Gathered) -> np.ndarray:
    """Return the species (A,) of the attacks."""
    count = int((~gathered.live).sum())
    return np.full(count, "attack") if gathered.species is None else gathered.species[~gathered.live]
