"""Single-side domain generalisation, SSDG (arXiv 2004.14043), as AG-FAS uses it.

Live faces of all domains should lie together, attacks of each domain apart from them and from each other.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from despoof.detector.network import DetectorOutput
from despoof.detector.techniques.erm import cross_entropy
from despoof.detector.techniques.reversal import Adversarial, DomainDiscriminator
from despoof.detector.techniques.technique import Term


@dataclass(frozen=True)
class SsdgOptions:
    """Weights and margin of the AG-FAS release."""

    triplet: float = 1.0  # weight of the asymmetric triplet loss
    adversarial: float = 0.5  # weight of the single-side adversarial loss
    margin: float = 0.1  # of the triplets


class Ssdg(Adversarial):
    """Cross-entropy, asymmetric triplet, single-side adversarial."""

    Options = SsdgOptions

    def forward(self, output: DetectorOutput, live: torch.Tensor, domain: torch.Tensor, step: int) -> dict[str, Term]:
        """Return `cross_entropy`, `triplet` and `adversarial`."""
        options = self.setting.options
        coefficient = self.coefficient(step)
        adversarial = single_side_adversarial(self.discriminator, output.embedding, live, domain, coefficient)
        return {
            "cross_entropy": Term(cross_entropy(output.logit, live)),
            "triplet": Term(
                triplet(output.embedding, asymmetric_groups(live, domain), options.margin), options.triplet
            ),
            "adversarial": Term(adversarial, options.adversarial),
        }


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


def _distances(embedding: torch.Tensor) -> torch.Tensor:
    """Return (N, N) Euclidean distances; where one is zero so is its gradient, not infinite."""
    squared = (embedding[:, None] - embedding[None, :]).square().sum(-1)
    zero = squared == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, squared).sqrt())
