"""Risk extrapolation: the risks of the domains should not only be small, they should be equal.

V-REx (Krueger et al., arXiv 2003.00688, equation 8): mean of the risks + beta Var of the risks. SARE (FAS-Aug,
arXiv 2409.03501): the variance is taken of the risks of attacks alone, since what differs most between domains are
the attacks.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from despoof.detector.network import DetectorOutput
from despoof.detector.techniques.erm import cross_entropy
from despoof.detector.techniques.technique import Technique, Term


@dataclass(frozen=True)
class RiskOptions:
    """Beta of V-REx, set by hand."""

    risk_variance: float = 1.0


class RiskExtrapolation(Technique):
    """V-REx: cross-entropy and the variance of it over domains."""

    Options = RiskOptions

    def forward(self, output: DetectorOutput, live: torch.Tensor, domain: torch.Tensor, step: int) -> dict[str, Term]:
        """Return `cross_entropy` and `risk_variance`; from a tenth of the steps on, the latter has its weight."""
        counted = self._counted(live)
        variance = risk_variance(output.logit[counted], live[counted], domain[counted])
        begun = 10 * step >= self.setting.steps  # a variance of random risks teaches nothing
        return {
            "cross_entropy": Term(cross_entropy(output.logit, live)),
            "risk_variance": Term(variance, self.setting.options.risk_variance * begun),
        }

    def _counted(self, live: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(live)


class SpoofRiskExtrapolation(RiskExtrapolation):
    """SARE: the variance over domains of the attacks' cross-entropy."""

    def _counted(self, live: torch.Tensor) -> torch.Tensor:
        return ~live


def risk_variance(logit: torch.Tensor, live: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
    """Return the population variance over domains of the mean cross-entropy in each; 0 for fewer than two."""
    losses = F.binary_cross_entropy_with_logits(logit.float(), live.float(), reduction="none")
    risks = [losses[domain == d].mean() for d in domain.unique()]
    return torch.stack(risks).var(unbiased=False) if len(risks) > 1 else logit.sum() * 0
