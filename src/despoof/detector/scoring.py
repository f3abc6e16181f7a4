"""A detector's answers on a whole set, and the temperature that makes them probabilities."""

import numpy as np
import torch

from despoof.detector.batches import Gathered, check_gathered, inputs
from despoof.detector.network import Detector

# From 1: source validation is easier than the field, so it must never make a detector more certain.
TEMPERATURES = np.geomspace(1, 20, 300)


def scores(detector: Detector, gathered: Gathered, batch: int = 64) -> np.ndarray:
    """Return liveness (N,) in 0..1, float64, higher is more live, temperature included."""
    return _sigmoid(logits(detector, gathered, batch) / detector.temperature)


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


def fit_temperature(logit: np.ndarray, live: np.ndarray) -> float:
    """Return the temperature in 1..20 with the least class-balanced cross-entropy.

    One number over all logits (Guo et al., arXiv 1706.04599, section 4.2), fit where no weight was trained.
    """
    signed = np.where(live, logit, -logit)
    weight = np.where(live, 1 / max(live.sum(), 1), 1 / max((~live).sum(), 1))
    loss = [(weight * np.logaddexp(0, -signed / temperature)).sum() for temperature in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(loss))])


def _starts(gathered: Gathered, batch: int) -> range:
    return range(0, len(gathered.keys), batch)


def _logits(detector: Detector, gathered: Gathered, part: slice, device: torch.device) -> np.ndarray:
    counterparts = None if gathered.counterparts is None else gathered.counterparts[part]
    face, cue = inputs(gathered.faces[part], counterparts, detector.config)
    output = detector(face.to(device), None if cue is None else cue.to(device))
    return output.logit.double().cpu().numpy()


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -values))
