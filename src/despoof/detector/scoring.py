"""A detector's answers on a whole set, and the calibration that makes them probabilities."""

import numpy as np
import torch

from despoof.detector.batches import Gathered, check_gathered, inputs
from despoof.detector.network import Detector

# From 1: source validation is easier than the field, so it must never make a detector more certain.
TEMPERATURES = (1.0, 20.0)


def scores(detector: Detector, gathered: Gathered, batch: int = 64) -> np.ndarray:
    """Return liveness (N,) in 0..1, float64, higher is more live, calibration included."""
    return _sigmoid((logits(detector, gathered, batch) - detector.offset) / detector.temperature)


def logits(detector: Detector, gathered: Gathered, batch: int = 64) -> np.ndarray:
    """Return liveness logits (N,), float64, judged in eval mode; the detector's own mode is kept."""
    check_gathered(gathered, detector.config, "the set to score")
    device = next(detector.parameters()).device
    modes = {module: module.training for module in detector.modules()}
    detector.eval()
    try:
        with torch.inference_mode():
            parts = [_logits(detector, gathered, slice(i, i + batch), device) for i in _starts(gathered, batch)]
    finally:
        for module, mode in modes.items():
            module.training = mode
    return np.concatenate([*parts, np.empty(0)])


def fit_calibration(logit: np.ndarray, live: np.ndarray) -> tuple[float, float]:
    """Return (temperature in 1..20, offset) with the least class-balanced cross-entropy.

    Liveness is then sigmoid((logit - offset) / temperature): Platt scaling (1999), whose offset also mends a
    detector that leans to one class; fit where no weight was trained.
    """
    from scipy.optimize import minimize

    sign = np.where(live, 1.0, -1.0)
    weight = np.where(live, 0.5 / max(live.sum(), 1), 0.5 / max((~live).sum(), 1))

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (line[0] * logit + line[1])
        slope = -weight * sign * _sigmoid(-margin)
        return float((weight * np.logaddexp(0, -margin)).sum()), np.array([(slope * logit).sum(), slope.sum()])

    bounds = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]), (None, None)]
    slope, intercept = minimize(loss, np.array([0.5, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B", tol=1e-12).x
    return float(1 / slope), float(-intercept / slope)


def _starts(gathered: Gathered, batch: int) -> range:
    return range(0, len(gathered.keys), batch)


def _logits(detector: Detector, gathered: Gathered, part: slice, device: torch.device) -> np.ndarray:
    counterparts = None if gathered.counterparts is None else gathered.counterparts[part]
    face, cue = inputs(gathered.faces[part], counterparts, detector.config)
    output = detector(face.to(device), None if cue is None else cue.to(device))
    return output.logit.double().cpu().numpy()


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -values))
