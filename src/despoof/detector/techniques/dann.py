"""Domain-adversarial training, DANN (Ganin and Lempitsky, arXiv 1409.7495): no embedding tells its domain."""

import torch
import torch.nn.functional as F

from despoof.detector.network import DetectorOutput
from despoof.detector.techniques.erm import cross_entropy
from despoof.detector.techniques.reversal import DomainDiscriminator, reversal_coefficient
from despoof.detector.techniques.technique import Setting, Technique, Term


class Dann(Technique):
    """Cross-entropy, and -mean(log q(d | R(f))) over live and attack alike, R reversing the gradient."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.discriminator = DomainDiscriminator(setting.embedding, setting.domains)

    def forward(self, output: DetectorOutput, live: torch.Tensor, domain: torch.Tensor, step: int) -> dict[str, Term]:
        """Return `cross_entropy` and `adversarial`."""
        training = self.setting.training
        coefficient = reversal_coefficient(step, training.steps)
        return {
            "cross_entropy": Term(cross_entropy(output.logit, live)),
            "adversarial": Term(
                F.cross_entropy(self.discriminator(output.embedding, coefficient), domain), training.adversarial
            ),
        }
