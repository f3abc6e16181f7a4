"""The interface: what the detector answers for a batch -> named terms of the loss, each with its weight."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from despoof.detector.network import DetectorOutput


@dataclass(frozen=True)
class NoOptions:
    """The config of a technique that has nothing to choose."""


class Setting(NamedTuple):
    """What a technique is made for: width of the embedding, number of source domains, steps, its own config."""

    embedding: int
    domains: int
    steps: int
    options: Any = NoOptions()


class Term(NamedTuple):
    """One part of the loss and its weight in the sum."""

    loss: torch.Tensor
    weight: float = 1.0


class Technique(nn.Module):
    """A loss with what it learns itself, if anything; with the cue or without, it sees logit and embedding."""

    Options: ClassVar[type] = NoOptions  # the dataclass of what can be chosen

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting

    def forward(self, output: DetectorOutput, live: torch.Tensor, domain: torch.Tensor, step: int) -> dict[str, Term]:
        """Return the terms, by name, of a batch with live (N,) bool and domain (N,) int64, at a step from 0."""
        raise NotImplementedError

    def after_step(self) -> None:  # noqa: B027 - most techniques do nothing here
        """Do what follows the optimiser's step."""
