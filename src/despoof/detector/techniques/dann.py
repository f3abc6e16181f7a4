"""Domain-adversarial training, DANN (Ganin and Lempitsky, arXiv 1409.7495): no embedding tells its domain."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from despoof.detector.network import DetectorOutput
from despoof.detector.techniques.erm import cross_entropy
from despoof.detector.techniques.reversal import Adversarial
from despoof.detector.techniques.technique import Term


@dataclass(frozen=True)
class DannOptions:
    """The weight that SSDG's adversarial loss has in AG-FAS."""

    adversarial: float = 0.5


class Dann(Adversarial):
    """Cross-entropy, and -mean(log q(d | R(f))) over live and attack alike, R reversing the gradient."""

    Options = DannOptions

    def forward(self, output: DetectorOutput, live: torch.Tensor, domain: torch.Tensor, step: int) -> dict[str, Term]:
        """Return `cross_entropy` and `adversarial`."""
        coefficient = self.coefficient(step)
        return {
            "cross_entropy": Term(cross_entropy(output.logit, live)),
            "adversarial": Term(
                F.cross_entropy(self.discriminator(output.embedding, coefficient), domain),
                self.setting.options.adversarial,
            ),
        }
