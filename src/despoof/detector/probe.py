"""A linear probe: what a frozen backbone reads in a face, and in its cue, judged by logistic regression.

With x the standardised channel statistics and y = 1 for live, -1 for attack it minimises

    sum_i w_i log(1 + exp(-y_i (a x_i + b))) + penalty / 2 |a|^2

where w gives every domain and class the same share (simulated ones a smaller one) and sums to 1. The problem is convex:
no steps, no augmentation but the mirror image, no seed. Fine-tuning bends features that the next camera needs (Kumar et
al., arXiv 2202.10054).
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from despoof.detector.backbones.weights import load_pretrained
from despoof.detector.batches import Gathered, check_gathered, chosen, inputs
from despoof.detector.config import DetectorConfig, DetectorTraining
from despoof.detector.network import Detector, save_detector
from despoof.detector.scoring import logits
from despoof.detector.train import FILE, calibrate, check_classes
from despoof.errors import ConfigError
from despoof.metrics import auc

ITERATIONS = 500  # most, of L-BFGS; some dozens are used


def train_probe(
    config: DetectorConfig,
    training: DetectorTraining,
    train_set: Gathered,
    validation: Gathered,
    folder: str | Path,
    *,
    start_from: Path | None = None,
    known: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Fit a probe and return its file in `folder`; one that is there is made again, to the same bits.

    `known` holds what this config's backbone read in samples, by their names; what is missing is added.
    """
    if not config.statistics or config.insertion not in ("none", "dual", "cue", "concat") or config.embedding != 1:
        raise ConfigError(
            f"a probe with insertion {config.insertion!r}, statistics {config.statistics} and embedding "
            f"{config.embedding}; expected an insertion without attention, some strides, and 1. Take preset probe."
        )
    for gathered, name in ((train_set, "the training set"), (validation, "the validation set")):
        check_gathered(gathered, config, name)
    check_classes(train_set, validation)
    torch.manual_seed(training.seed)
    detector = Detector(config)
    if training.start == "imagenet":
        load_pretrained(detector.backbone, config.backbone, start_from)
    detector.eval().to(memory_format=torch.channels_last)
    known = {} if known is None else known
    numbers = torch.cat([_read(detector, each, known) for each in (train_set, mirrored(train_set))]).double()
    share_of = shares(train_set, training.simulated_share)
    live, share = (torch.from_numpy(np.tile(part, 2)) for part in (train_set.live, share_of))
    mean, variance = numbers.mean(0), numbers.var(0, unbiased=False)
    standard = (numbers - mean) / (variance + detector.standardise.eps).sqrt()
    weight, bias = logistic_regression(standard, live, share / share.sum(), training.penalty)
    _put(detector, {"mean": mean, "variance": variance, "weight": weight, "bias": bias})
    logit = logits(detector, validation)
    path = Path(folder) / FILE
    facts = {"validation_auc": auc(logit[validation.live], logit[~validation.live])}
    save_detector(path, detector, facts=facts)
    calibrate(path, training, validation)
    return path


def logistic_regression(
    numbers: torch.Tensor, live: torch.Tensor, share: torch.Tensor, penalty: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (K,) and bias () for numbers (N, K) float64, live (N,) bool, and shares (N,) that sum to 1."""
    sign = torch.where(live, 1.0, -1.0).double()
    unknown = torch.zeros(numbers.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [unknown], max_iter=ITERATIONS, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        margin = sign * (numbers @ unknown[:-1] + unknown[-1])
        value = (share * F.softplus(-margin)).sum() + penalty / 2 * unknown[:-1].square().sum()
        value.backward()
        return value

    solver.step(loss)
    found = unknown.detach()
    return found[:-1], found[-1]


def shares(gathered: Gathered, simulated: float = 1.0) -> np.ndarray:
    """Return a weight (N,) for each sample, together 1, such that every domain and class has the same sum.

    That of simulated domains is `simulated` times a real one's.
    """
    groups = gathered.domain * 2 + gathered.live
    _, which, counts = np.unique(groups, return_inverse=True, return_counts=True)
    made = np.zeros(len(groups), bool) if gathered.simulated is None else gathered.simulated
    share = np.where(made, simulated, 1.0) / counts[which]
    return share / share.sum()


def mirrored(gathered: Gathered) -> Gathered:
    """Return the mirror images, of faces and counterparts alike, under names of their own."""
    faces, counterparts = (
        None if images is None else np.ascontiguousarray(images[:, :, ::-1])
        for images in (gathered.faces, gathered.counterparts)
    )
    keys = [f"{key}|mirrored" for key in gathered.keys]
    return gathered._replace(faces=faces, counterparts=counterparts, keys=keys)


@torch.no_grad()
def read_numbers(detector: Detector, gathered: Gathered, batch: int = 64) -> torch.Tensor:
    """Return the statistics (N, K) of a whole set."""
    parts = []
    for start in range(0, len(gathered.keys), batch):
        part = slice(start, start + batch)
        counterparts = None if gathered.counterparts is None else gathered.counterparts[part]
        parts.append(detector.numbers(*inputs(gathered.faces[part], counterparts, detector.config)))
    return torch.cat(parts)


def _read(detector: Detector, gathered: Gathered, known: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the statistics (N, K) of a set, of which those in `known` are not read again."""
    missing = np.array([key not in known for key in gathered.keys], bool)
    if missing.any():
        unread = chosen(gathered, missing)
        known.update(zip(unread.keys, read_numbers(detector, unread), strict=True))
    return torch.stack([known[key] for key in gathered.keys])


def _put(detector: Detector, found: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        detector.standardise.running_mean.copy_(found["mean"])
        detector.standardise.running_var.copy_(found["variance"])
        detector.embed.weight.copy_(found["weight"][None])
        detector.embed.bias.copy_(found["bias"][None])
        detector.classify.weight.fill_(1.0)
        detector.classify.bias.zero_()
