"""A detector's logits on a whole set, and the calibration that makes them probabilities."""

import numpy as np
import torch

from despoof.detector.batches import Gathered, check_gathered, input_batches
from despoof.detector.frozen.reading import Numbers
from despoof.detector.network import Detector
from despoof.metrics import auc

# From 1: source validation is easier than the field, so it must never make a detector more certain.
TEMPERATURES = (1.0, 20.0)


def scores(detector: Detector, gathered: Gathered, batch: int = 64, *, numbers: Numbers | None = None) -> np.ndarray:
    """Return liveness (N,) in 0..1, float64, higher is more live, calibration included."""
    return detector.calibrated(torch.from_numpy(logits(detector, gathered, batch, numbers=numbers))).numpy()


def logits(detector: Detector, gathered: Gathered, batch: int = 64, *, numbers: Numbers | None = None) -> np.ndarray:
    """Return liveness logits (N,), float64, judged in eval mode; the detector's own mode is kept.

    `numbers` is of a detector whose networks are frozen: what they read before is not read again.
    """
    check_gathered(gathered, detector.config, "the set to score")
    device = next(detector.parameters()).device
    modes = {module: module.training for module in detector.modules()}
    detector.eval()
    try:
        with torch.inference_mode():
            if numbers is not None and len(gathered.keys):
                parts = [detector.answer(numbers.read(detector, gathered).to(device)).logit.double().cpu()]
            else:
                parts = [
                    detector(*(x if x is None else x.to(device) for x in part)).logit.double().cpu()
                    for part in input_batches(gathered, detector.config, batch)
                ]
    finally:
        for module, mode in modes.items():
            module.training = mode
    return torch.cat([*parts, torch.empty(0, dtype=torch.float64)]).numpy()


def validation_auc(detector: Detector, validation: Gathered) -> float:
    """Return the AUC of a detector's logits on a set."""
    logit = logits(detector, validation)
    return auc(logit[validation.live], logit[~validation.live])


def fit_calibration(logit: np.ndarray, live: np.ndarray, share: np.ndarray | None = None) -> tuple[float, float]:
    """Return (temperature in 1..20, offset) with the least class-balanced cross-entropy.

    Platt scaling (1999), whose offset also mends a detector that is biased to one class; fitted where no weight was
    trained. `share` (N,) weighs samples within their class; without it they weigh alike.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    sign = np.where(live, 1.0, -1.0)
    share = np.ones(len(live)) if share is None else share
    weight = share * np.where(live, 0.5 / max(share[live].sum(), 1e-12), 0.5 / max(share[~live].sum(), 1e-12))

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (line[0] * logit + line[1])
        slope = -weight * sign * expit(-margin)
        return float((weight * np.logaddexp(0, -margin)).sum()), np.array([(slope * logit).sum(), slope.sum()])

    bounds = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]), (None, None)]
    slope, intercept = minimize(loss, np.array([0.5, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B", tol=1e-12).x
    return float(1 / slope), float(-intercept / slope)
