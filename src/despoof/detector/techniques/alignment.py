"""Separability and alignment, in the manner of SA-FAS (Sun et al., arXiv 2303.13662).

Separability: a supervised contrastive loss (Khosla et al., arXiv 2004.11362) whose classes are (label, domain), so
that domains stay apart in the embedding. Alignment: each domain has a hyperplane of its own between live and
attack; after each step every one moves a share of the way to the one farthest from it (projected-gradient IRM), so
that in the end one hyperplane serves all. The paper judges with the mean of the hyperplanes; here the detector's own
classifier judges, trained on all domains, and the hyperplanes shape the embedding only.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from despoof.detector.network import DetectorOutput
from despoof.detector.techniques.erm import cross_entropy
from despoof.detector.techniques.technique import Setting, Technique, Term

TEMPERATURE = 0.1  # of the contrastive loss, as in SA-FAS
PULL = 0.05  # share of the way to the farthest hyperplane; set by hand


@dataclass(frozen=True)
class AlignmentOptions:
    """Weight of the contrastive loss, set by hand."""

    contrast: float = 0.1


class Alignment(Technique):
    """Cross-entropy, contrast of (label, domain), and cross-entropy of each domain's own hyperplane."""

    Options = AlignmentOptions

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.hyperplanes = nn.Parameter(torch.zeros(setting.domains, setting.embedding))

    def forward(self, output: DetectorOutput, live: torch.Tensor, domain: torch.Tensor, step: int) -> dict[str, Term]:
        """Return `cross_entropy`, `contrast` and `alignment`."""
        embedding = F.normalize(output.embedding.float(), dim=1)
        own = (embedding * self.hyperplanes[domain]).sum(1) / TEMPERATURE
        return {
            "cross_entropy": Term(cross_entropy(output.logit, live)),
            "contrast": Term(contrast(embedding, 2 * domain + live), self.setting.options.contrast),
            "alignment": Term(cross_entropy(own, live)),
        }

    @torch.no_grad()
    def after_step(self) -> None:
        """Pull every hyperplane towards the one farthest from it."""
        self.hyperplanes.copy_(pulled(self.hyperplanes, PULL))


def pulled(points: torch.Tensor, share: float) -> torch.Tensor:
    """Return points (D, E), each moved by `share` of the way to the one farthest from it."""
    farthest = torch.cdist(points, points).argmax(1)
    return points + share * (points[farthest] - points)


def contrast(embedding: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Return the supervised contrastive loss of unit embeddings (N, E); 0 where no two share a group.

    Mean over anchors a with positives P(a) of -1/|P(a)| sum over p of log softmax over all others of f_a f_p / T
    (equation 2 there).
    """
    alone = torch.eye(len(group), dtype=torch.bool, device=group.device)
    likeness = (embedding @ embedding.T / TEMPERATURE).masked_fill(alone, float("-inf"))
    log_share = likeness - likeness.logsumexp(1, keepdim=True)
    positive = (group[:, None] == group[None, :]) & ~alone
    counts = positive.sum(1)
    means = torch.where(positive, log_share, 0.0).sum(1) / counts.clamp_min(1)
    return -means[counts > 0].mean() if counts.any() else embedding.sum() * 0
