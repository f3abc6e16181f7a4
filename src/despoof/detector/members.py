"""Several runs as one detector: the mean of their weights (DiWA, Rame et al., arXiv 2205.09739).

The runs must share their first weights (`DetectorTraining.start_seed`), or their hidden units would not correspond and
the mean be none of them. It answers about as the mean of their answers does, at the price of one.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from despoof.detector.batches import Gathered
from despoof.detector.network import load_detector, save_detector
from despoof.detector.scoring import fit_calibration, logits
from despoof.errors import InputError
from despoof.metrics import auc


def merge(files: Sequence[Path], validation: Gathered, path: Path) -> Path:
    """Write the mean of several detectors, calibrated on `validation`, which none of them learned from.

    Detectors of different configs, or of different first weights, are an InputError.
    """
    members = [load_detector(file) for file in files]
    if len({member.config for member in members}) != 1:
        raise InputError(f"{len(files)} detectors of different configs cannot be merged. Train them alike.")
    starts = {member.facts["training"].get("start_seed") for member in members}
    if len(starts) != 1 or (None in starts and len(members) > 1):
        raise InputError(f"the detectors began with seeds {sorted(map(str, starts))}; expected one start_seed for all.")
    states = [member.state_dict() for member in members]
    merged = members[0]
    merged.load_state_dict({name: _mean([state[name] for state in states]) for name in states[0]})
    logit = logits(merged, validation)
    temperature, offset = fit_calibration(logit, validation.live)
    facts = {
        "temperature": temperature,
        "offset": offset,
        "validation_auc": auc(logit[validation.live], logit[~validation.live]),
        "members": [member.facts["training"]["seed"] for member in members],
    }
    save_detector(path, merged, facts=facts)
    return path


def _mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean; counters of batches, which are whole numbers, are alike in all."""
    return torch.stack(tensors).mean(0) if tensors[0].is_floating_point() else tensors[0]
