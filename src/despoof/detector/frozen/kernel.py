"""Kernel ridge regression on frozen networks: a face is judged by its nearness to the samples that were learned from.

With z a sample's standardised and clamped numbers, each block scaled by its weight, and k(z, c) = exp(-|z - c|^2), the
logit is a sum over centres, a_j k(z, c_j), plus a constant. The centres are a thinned training set: at most `most` of
each camera, class and species. The coefficients minimise, over the centres' samples and their changed copies,

    sum_i w_i (f(z_i) - y_i)^2 + ridge / n a^T K a,    y = 1 for live, -1 for attack,

where w gives every domain and class the same share (Nystrom's form of kernel ridge regression, where there are more
rows than centres). Distances are taken between the first principal components, of which the embedding holds as many as
the network's config says, and what lies beside these counts by its length (network.Nearness): a smaller file, nearly
the same distances.

Several judges (config.JUDGES) are fitted alike, each on its own numbers; the least of their logits counts.
"""

from dataclasses import replace

import numpy as np
import torch

from despoof.detector.batches import Gathered, chosen
from despoof.detector.config import DetectorConfig, KernelTraining
from despoof.detector.frozen.head import standardise
from despoof.detector.frozen.probe import shares
from despoof.detector.frozen.reading import Numbers, copies
from despoof.detector.network import Detector, Judge, beside
from despoof.detector.train import check_sets, started

CERTAIN = 8.0  # the logit of a target: a calibration never sharpens, so that it must begin above what is deserved
JITTER = 1e-9  # of the diagonal, in double precision


def fit_kernel(
    config: DetectorConfig,
    training: KernelTraining,
    train_set: Gathered,
    *,
    seed: int = 0,
    numbers: Numbers | None = None,
) -> Detector:
    """Return a detector with fitted centres, not calibrated yet; the same whenever it is made of the same numbers.

    Its config has as many centres and principal components as there are, at most those asked for. `numbers` holds what
    networks read before; what is missing is added. `seed` is of networks that start random.
    """
    check_sets(config, train_set)
    thin = chosen(train_set, thinned(train_set, training.most, config.kernel))
    count = len(thin.keys)
    config = replace(config, kernel=count, embedding=min(config.embedding, count - 1))
    torch.manual_seed(seed)
    detector = started(config, training.start, training.released).eval().to(memory_format=torch.channels_last)
    numbers = numbers or Numbers()
    told = copies(training.augmented, training.augmentation)
    read = torch.stack([numbers.read(detector, thin, copy) for copy in told if copy.number != 1])  # (C, M, K)
    share = torch.from_numpy(shares(thin, training.simulated_share))
    standardise(detector, read[:1], share)
    standard, scale = detector.standard(read.flatten(0, 1)), _scale(detector, training)
    target = torch.from_numpy(np.where(thin.live, 1.0, -1.0)).repeat(len(read))
    for judge in detector.judges if config.judges else [detector]:
        places = judge.places if config.judges else slice(None)
        own = standard[:, places]
        whole = (training.width / scale[places].square().sum()).sqrt() if config.judges else 1.0  # of its own parts
        judge.nearness.scale.copy_(scale[places] * whole)
        _compress(judge, own[:count], share)
        rows = judge.nearness.centred(own)
        _solve(judge, training.ridge / count, rows, target, share.repeat(len(read)) / len(read))
    return detector


def thinned(gathered: Gathered, most: int, whole: int) -> np.ndarray:
    """Return indices, rising, of at most `most` evenly spaced samples of each domain, class and species.

    Where these are more than `whole`, fewer of each are taken.
    """
    species = np.full(len(gathered.keys), "attack") if gathered.species is None else gathered.species
    names = [f"{d}|{live}|{kind}" for d, live, kind in zip(gathered.domain, gathered.live, species, strict=True)]
    _, which = np.unique(names, return_inverse=True)
    groups = [np.flatnonzero(which == group) for group in range(which.max() + 1)]
    while most > 1 and sum(min(most, len(group)) for group in groups) > whole:
        most -= 1
    picked = []
    for group in groups:
        count = min(most, len(group))
        picked.append(group[((np.arange(count) + 0.5) * len(group) / count).astype(int)])
    return np.sort(np.concatenate(picked))


def _scale(detector: Detector, training: KernelTraining) -> torch.Tensor:
    """Return a factor (K,) such that squared distances are `width` times the weighted mean over blocks of theirs."""
    parts = detector.parts
    weights = {name: training.weights.get(name, 1.0) for name in parts}
    scale = torch.empty(detector.standardise.num_features)
    for name, block in parts.items():
        share = weights[name] / sum(weights.values())
        scale[block] = (training.width * share / (block.stop - block.start)) ** 0.5
    return scale


@torch.no_grad()
def _compress(judge: Detector | Judge, standard: torch.Tensor, share: torch.Tensor) -> None:
    """Let the embedding be the first principal components of scaled numbers (M, K), each sample by its share."""
    values = standard.double() * judge.nearness.scale
    mean = share @ values
    centred = (values - mean) * share.sqrt()[:, None]
    length, vectors = torch.linalg.eigh(centred @ centred.T)  # of samples: fewer than numbers
    kept = slice(len(length) - judge.embed.out_features, None)
    axes = (vectors[:, kept] / length[kept].clamp(min=1e-12).sqrt()).T @ centred  # (E, K), orthonormal
    judge.nearness.middle.copy_(mean)
    judge.embed.weight.copy_(axes)
    judge.embed.bias.zero_()


@torch.no_grad()
def _solve(
    judge: Detector | Judge, ridge: float, rows: torch.Tensor, target: torch.Tensor, share: torch.Tensor
) -> None:
    """Set centres, coefficients and the constant from centred rows (R, K), their targets and shares (R,).

    The first rows are the centres.
    """
    nearness, count = judge.nearness, judge.classify.in_features
    components = judge.embed(rows)
    nearness.centres.copy_(components[:count])
    nearness.beside.copy_(beside(rows[:count], components[:count]))
    near = nearness.double()(rows.double(), components.double())
    near[:count].fill_diagonal_(1.0)  # a sample and itself have the same beside
    nearness.float()
    constant = (share * target).sum() / share.sum()
    weighed = near * share[:, None]
    system = near.T @ weighed + ridge * near[:count] + JITTER * torch.eye(count, dtype=torch.float64)
    found = torch.linalg.solve(system, weighed.T @ (target - constant))
    judge.classify.weight.copy_(CERTAIN * found[None])
    judge.classify.bias.fill_(CERTAIN * constant.item())
