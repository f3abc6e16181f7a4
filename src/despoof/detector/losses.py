"""What a detector is trained on: cross-entropy, asymmetric triplet, single-side adversarial.

Single-side domain generalisation, SSDG (arXiv 2004.14043), as AG-FAS uses it: live faces of all domains
should lie together, attacks of each domain apart from them and from each other.

Symbols: f an embedding, y live or attack, d domain, m margin, k training step, K length of the schedule.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def cross_entropy(logit: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
    """Return -mean(log p(y)) with p(live) = sigmoid(logit): two-class cross-entropy, from logits (N,)."""
    return F.binary_cross_entropy_with_logits(logit.float(), live.float())


def asymmetric_groups(live: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
    """Return the triplet's groups (N,): 0 for live of every domain, d + 1 for attacks of domain d.

    SSDG, section 3.3.
    """
    return torch.where(live, 0, domain + 1)


def triplet(embedding: torch.Tensor, group: torch.Tensor, margin: float = 0.1) -> torch.Tensor:
    """Return the mean over strictly positive l(a, p, n) = max(0, |f_a - f_p| - |f_a - f_n| + m); 0 if none.

    All triplets of the batch with a, p of one group, a != p, and n of another; Euclidean, not squared
    ("batch all", Hermans et al., arXiv 1703.07737, section 2, mean over nonzero terms).
    """
    distance = _distances(embedding.float())
    same = group[:, None] == group[None, :]
    positive = same & ~torch.eye(len(group), dtype=torch.bool, device=group.device)
    violation = distance[:, :, None] - distance[:, None, :] + margin  # (a, p, n)
    valid = positive[:, :, None] & ~same[:, None, :]
    hinge = torch.where(valid, violation, 0.0).clamp_min(0)
    return hinge.sum() / (hinge > 0).sum().clamp_min(1)


def reversal_coefficient(step: int, length: int) -> float:
    """Return 2 / (1 + exp(-10 k / K)) - 1: 0 at the start, near 1 at the end.

    Ganin and Lempitsky, arXiv 1409.7495, section 4; AG-FAS and SSDG fix K at 4000.
    """
    return 2 / (1 + math.exp(-10 * step / length)) - 1


class DomainDiscriminator(nn.Module):
    """Guesses the domain of live embeddings; its gradient reaches the embedding reversed."""

    def __init__(self, embedding: int, domains: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(embedding, embedding), nn.ReLU(), nn.Dropout(0.5), nn.Linear(embedding, domains)
        )

    def forward(self, embedding: torch.Tensor, coefficient: float) -> torch.Tensor:
        """Return domain logits (N, domains)."""
        return self.layers(reverse_gradient(embedding.float(), coefficient))


def single_side_adversarial(
    discriminator: DomainDiscriminator,
    embedding: torch.Tensor,
    live: torch.Tensor,
    domain: torch.Tensor,
    coefficient: float,
) -> torch.Tensor:
    """Return -mean(log q(d | R(f))) over LIVE embeddings only; 0 where the batch has none. SSDG, section 3.2.

    R is the identity forward and multiplies the gradient by -coefficient.
    """
    if not live.any():
        return embedding.sum() * 0
    return F.cross_entropy(discriminator(embedding[live], coefficient), domain[live])


def reverse_gradient(values: torch.Tensor, coefficient: float) -> torch.Tensor:
    """Return the values unchanged; their gradient comes back times -coefficient."""
    return _Reverse.apply(values, coefficient)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, coefficient: float) -> torch.Tensor:
        ctx.coefficient = coefficient
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return -ctx.coefficient * gradient, None


def _distances(embedding: torch.Tensor) -> torch.Tensor:
    """Return (N, N) Euclidean distances; where one is zero so is its gradient, not infinite."""
    squared = (embedding[:, None] - embedding[None, :]).square().sum(-1)
    zero = squared == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, squared).sqrt())
