"""Gradient reversal (Ganin and Lempitsky, arXiv 1409.7495): the identity forward, -coefficient times backward."""

import math
from typing import Any

import torch
from torch import nn

from despoof.detector.techniques.technique import Setting, Technique


def reversal_coefficient(step: int, length: int) -> float:
    """Return 2 / (1 + exp(-10 k / K)) - 1 at step k of K: 0 at the start, near 1 at the end.

    Section 4 there; AG-FAS and SSDG fix K at 4000 whatever the length of the training, here it is the length.
    """
    return 2 / (1 + math.exp(-10 * step / length)) - 1


class DomainDiscriminator(nn.Module):
    """Guesses the domain of embeddings; its gradient reaches the embedding reversed."""

    def __init__(self, embedding: int, domains: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(embedding, embedding), nn.ReLU(), nn.Dropout(0.5), nn.Linear(embedding, domains)
        )

    def forward(self, embedding: torch.Tensor, coefficient: float) -> torch.Tensor:
        """Return domain logits (N, domains)."""
        return self.layers(reverse_gradient(embedding.float(), coefficient))


class Adversarial(Technique):
    """A technique with a discriminator of domains, and how hard its gradient pushes at a step."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.discriminator = DomainDiscriminator(setting.embedding, setting.domains)

    def coefficient(self, step: int) -> float:
        """Return the reversal's coefficient at a step of the configured length."""
        return reversal_coefficient(step, self.setting.steps)


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
