"""Empirical risk: cross-entropy over all sources alike."""

import torch
import torch.nn.functional as F

from despoof.detector.network import DetectorOutput
from despoof.detector.techniques.technique import Technique, Term


class Erm(Technique):
    """Cross-entropy alone."""

    def forward(self, output: DetectorOutput, live: torch.Tensor, domain: torch.Tensor, step: int) -> dict[str, Term]:
        """Return `cross_entropy`."""
        return {"cross_entropy": Term(cross_entropy(output.logit, live))}


def cross_entropy(logit: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
    """Return -mean(log p(y)) with p(live) = sigmoid(logit): two-class cross-entropy, from logits (N,)."""
    return F.binary_cross_entropy_with_logits(logit.float(), live.float())
