"""A head on frozen networks: what they read in face and surroundings, judged by one hidden layer.

All networks are as they were released. Their numbers are read once in each sample and in each changed copy of it
(reading.py); then dropout, a linear layer, ReLU, dropout and a linear layer learn from them alone, which takes seconds.
So every row of a table, every fold and every seed is affordable, and features that the next camera needs are not bent
(Kumar et al., arXiv 2202.10054).

Numbers are standardised by the mean and deviation in which every domain and class has the same share. A sample is drawn
into a batch by its share, with replacement; some blocks of numbers are left out of a part of each batch, so that the
head does not lean on surroundings that a tight crop lacks.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from despoof.detector.batches import Gathered
from despoof.detector.config import DetectorConfig, HeadTraining
from despoof.detector.frozen.probe import shares
from despoof.detector.frozen.reading import Numbers, copies
from despoof.detector.network import Detector
from despoof.detector.train import OPTIMISERS, check_sets, started
from despoof.runs.loop import warm_cosine
from despoof.runs.seed import content_seed, item_rng

HEAD_SEEDS = 1000  # from one head's seed to the next, so that seeds 0, 1, 2 share none


class _Lesson(NamedTuple):
    """What heads learn from."""

    numbers: torch.Tensor  # (C, N, K) of C copies of N samples, standardised
    live: torch.Tensor  # (N,) bool
    edges: np.ndarray  # (N,) sums of the chances to be drawn, up to each sample


def fit_head(
    config: DetectorConfig,
    training: HeadTraining,
    train_set: Gathered,
    *,
    seed: int = 0,
    numbers: Numbers | None = None,
) -> Detector:
    """Return a detector with a trained head, not calibrated yet; the same whenever it is made of the same numbers.

    `numbers` holds what networks read before; what is missing is added. `seed` is of first weights and of batches, and
    of networks that start random.
    """
    check_sets(config, train_set)
    torch.manual_seed(seed)
    detector = started(config, training.start, training.released).eval().to(memory_format=torch.channels_last)
    numbers = numbers or Numbers()
    told = copies(training.augmented, training.augmentation)
    read = torch.stack([numbers.read(detector, train_set, copy) for copy in told])  # (C, N, K)
    share = torch.from_numpy(shares(train_set, training.simulated_share))
    standardise(detector, read, share)
    for copy in read:  # in place: there may be gigabytes
        copy.copy_(detector.standard(copy))
    lesson = _Lesson(read, torch.from_numpy(train_set.live), sampling(train_set, training).cumsum())
    made = [
        _trained(detector, training, lesson, seed + HEAD_SEEDS * number)
        for number in range(training.heads)
    ]  # fmt: skip
    _put_in(detector, made)
    return detector


def sampling(gathered: Gathered, training: HeadTraining) -> np.ndarray:
    """Return the chance (N,) of each sample to be drawn, together 1.

    Every domain and class has the same sum, but for simulated domains; balanced by species, attacks of a domain, or of
    all domains, share theirs alike among species, and each species alike among its domains.
    """
    share = shares(gathered, training.simulated_share)
    if training.species_balance == "none" or gathered.species is None:
        return share
    attack = ~gathered.live
    whole = np.zeros(len(share), int) if training.species_balance == "all" else gathered.domain
    for group in np.unique(whole[attack]):
        inside = attack & (whole == group)
        total, species = share[inside].sum(), np.unique(gathered.species[inside])
        for each in species:
            own = inside & (gathered.species == each)
            share[own] *= total / len(species) / share[own].sum()
    return share / share.sum()


def standardise(detector: Detector, read: torch.Tensor, share: torch.Tensor) -> None:
    """Set mean and variance over all copies, in double precision and by parts, since all at once would be large."""
    weight = (share / len(read)).double()
    mean = sum(weight @ copy.double() for copy in read)
    variance = sum(weight @ (copy.double() - mean).square() for copy in read)
    detector.standardise.running_mean.copy_(mean)
    detector.standardise.running_var.copy_(variance)


def _trained(detector: Detector, training: HeadTraining, lesson: _Lesson, seed: int) -> list[torch.Tensor]:
    """Return weight and bias of the hidden and of the last layer: the running mean over the steps."""
    config = detector.config
    torch.manual_seed(content_seed(f"{seed}|head".encode()))
    hidden = config.embedding // training.heads
    head = nn.Sequential(
        nn.Dropout(config.dropout), nn.Linear(lesson.numbers.shape[2], hidden), nn.ReLU(),
        nn.Dropout(config.dropout), nn.Linear(hidden, 1),
    )  # fmt: skip
    parameters = list(head.parameters())
    rates = training.optimiser
    groups = [
        {"params": [each for each in parameters if (each.ndim > 1) == matrix], "weight_decay": decay}
        for matrix, decay in ((True, rates.weight_decay), (False, 0.0))
    ]
    optimiser = OPTIMISERS[rates.name](groups, lr=rates.new_learning_rate)
    schedule = warm_cosine(optimiser, rates.warmup, training.steps)
    average = [each.detach().clone() for each in parameters]
    for step, (numbers, target) in enumerate(_batches(detector, training, lesson, seed)):
        loss = F.binary_cross_entropy_with_logits(head(numbers).squeeze(1), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, rates.gradient_limit)
        optimiser.step()
        schedule.step()
        kept = min(training.average, (1 + step) / (10 + step))
        for mean, now in zip(average, parameters, strict=True):
            mean.lerp_(now.detach(), 1 - kept)
    return average


def _batches(
    detector: Detector, training: HeadTraining, lesson: _Lesson, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield standardised numbers (B, K) and 1 for live (B,) of each step, which depend on seed and step alone."""
    parts = detector.parts
    dropped = {name: share for name, share in training.dropped.items() if name in parts}
    for step in range(training.steps):
        rng = item_rng(seed, "head", step)
        places = np.searchsorted(lesson.edges, rng.random(training.batch) * lesson.edges[-1], "right")
        copy = rng.integers(0, len(lesson.numbers), training.batch)
        numbers = lesson.numbers[copy, places]
        for name, share in dropped.items():  # 0 is the mean
            without = torch.from_numpy(rng.random(training.batch) < share)
            numbers[without, parts[name]] = 0.0
        yield numbers, lesson.live[places].float()


@torch.no_grad()
def _put_in(detector: Detector, heads: list[list[torch.Tensor]]) -> None:
    """Set heads side by side: the mean of their answers is one wide head's."""
    weight, bias, last, constant = (torch.stack(parts) for parts in zip(*heads, strict=True))
    detector.embed.weight.copy_(weight.flatten(0, 1))
    detector.embed.bias.copy_(bias.flatten())
    detector.classify.weight.copy_((last / len(heads)).transpose(0, 1).flatten(1))
    detector.classify.bias.copy_(constant.mean(0))
