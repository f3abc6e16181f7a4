"""The interface: what the detector answers for a batch -> named terms of the loss, each with its weight."""

from typing import NamedTuple

import torch
from torch import nn

from despoof.detector.config import DetectorTraining
from despoof.detector.network import DetectorOutput


class Setting(NamedTuple):
    """What a technique is made for: the width of the embedding, the number of source domains, the training."""

    embedding: int
    domains: int
    training: DetectorTraining


class Term(NamedTuple):
    """One part of the loss and its weight in the sum."""

    loss: torch.Tensor
    weight: float = 1.0


class Technique(nn.Module):
    """A loss with what it learns itself, if anything; with the cue or without, it sees logit and embedding."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting

    def forward(self, output: DetectorOutput, live: torch.Tensor, domain: torch.Tensor, step: int) -> dict[str, Term]:
        """Return the terms, by name, of a batch with live (N,) bool and domain (N,) int64, at a step from 0."""
        raise NotImplementedError

    def after_step(self) -> None:  # noqa: B027 - most techniques do nothing here
        """Do what follows the optimiser's step."""
