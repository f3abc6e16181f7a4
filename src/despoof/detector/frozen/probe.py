"""A linear probe: what frozen networks read in a face, its cue and its surroundings, by logistic regression.

With x the standardised channel statistics and y = 1 for live, -1 for attack it minimises

    sum_i w_i log(1 + exp(-y_i (a x_i + b))) + penalty / 2 |a|^2

where w gives every domain and class the same share (simulated ones a smaller one) and sums to 1. The problem is convex:
no steps, no augmentation but the mirror image, no seed. Fine-tuning bends features that the next camera needs (Kumar et
al., arXiv 2202.10054).
"""

import numpy as np
import torch
import torch.nn.functional as F

from despoof.detector.batches import Gathered
from despoof.detector.config import DetectorConfig, ProbeTraining
from despoof.detector.frozen.reading import Copy, Numbers
from despoof.detector.network import Detector
from despoof.detector.train import check_sets, started

ITERATIONS = 500  # most, of L-BFGS; some dozens are used


def fit_probe(
    config: DetectorConfig,
    probe: ProbeTraining,
    train_set: Gathered,
    *,
    seed: int = 0,
    numbers: Numbers | None = None,
) -> Detector:
    """Return a detector with a fitted probe, not calibrated yet; the same to the bit whenever it is made.

    `numbers` holds what networks read in samples before; what is missing is added. `seed` is of networks that start
    random.
    """
    check_sets(config, train_set)
    torch.manual_seed(seed)
    detector = started(config, probe.start, probe.released).eval().to(memory_format=torch.channels_last)
    numbers = numbers or Numbers()
    statistics = torch.cat([numbers.read(detector, train_set, Copy(number)) for number in (0, 1)]).double()
    share_of = shares(train_set, probe.simulated_share)
    live, share = (torch.from_numpy(np.tile(part, 2)) for part in (train_set.live, share_of))
    mean, variance = statistics.mean(0), statistics.var(0, unbiased=False)
    standard = (statistics - mean) / (variance + detector.standardise.eps).sqrt()
    if config.clamp is not None:
        standard = standard.clamp(-config.clamp, config.clamp)
    weight, bias = logistic_regression(standard, live, share / share.sum(), probe.penalty)
    with torch.no_grad():
        detector.standardise.running_mean.copy_(mean)
        detector.standardise.running_var.copy_(variance)
        detector.embed.weight.copy_(weight[None])
        detector.embed.bias.copy_(bias[None])
        detector.classify.weight.fill_(1.0)
        detector.classify.bias.zero_()
    return detector


def logistic_regression(
    values: torch.Tensor, live: torch.Tensor, share: torch.Tensor, penalty: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (K,) and bias () for values (N, K) float64, live (N,) bool, and shares (N,) that sum to 1."""
    sign = torch.where(live, 1.0, -1.0).double()
    unknown = torch.zeros(values.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [unknown], max_iter=ITERATIONS, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        margin = sign * (values @ unknown[:-1] + unknown[-1])
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
