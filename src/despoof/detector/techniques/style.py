"""MixStyle (Zhou et al., arXiv 2104.02008): early feature maps with their style mixed with that of another item.

Style is the mean and deviation of each channel: x' = s (x - mu) / sigma + m, where m = lambda mu + (1 - lambda) mu~ and
s = lambda sigma + (1 - lambda) sigma~ are mixed with those of a random other item (equations 3 to 5), lambda from
Beta(0.1, 0.1). It goes with every technique, since it changes no loss.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from despoof.errors import ConfigError

CONCENTRATION = 0.1  # of the Beta distribution: most draws keep one of the two styles nearly whole
STAGES = 2  # of the backbone, from the first


@contextmanager
def mixed_styles(backbone: nn.Module, chance: float) -> Iterator[None]:
    """Mix styles after the first stages of a backbone, each time with this chance, while the context lasts.

    Draws come from torch's global generator.
    """
    ends = [stage.end - 1 for stage in backbone.stages[:STAGES]] if chance else []  # type: ignore[union-attr, index]
    hooks = [backbone.features[end].register_forward_hook(_hook(chance)) for end in ends]  # type: ignore[index]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def mix_styles(features: torch.Tensor, share: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
    """Return features (N, C, H, W) in a style that is `share` (N,) their own and the rest their partner's (N,)."""
    mean = features.mean((2, 3), keepdim=True).detach()
    deviation = (features.var((2, 3), keepdim=True) + 1e-6).sqrt().detach()
    share = share.view(-1, 1, 1, 1).to(features.dtype)
    mixed_mean = share * mean + (1 - share) * mean[partner]
    mixed_deviation = share * deviation + (1 - share) * deviation[partner]
    return (features - mean) / deviation * mixed_deviation + mixed_mean


def _hook(chance: float) -> Any:
    def hook(module: nn.Module, inputs: Any, features: torch.Tensor) -> torch.Tensor | None:
        if features.ndim != 4:
            raise ConfigError("style_mixing mixes feature maps, and this backbone has tokens. Set it to 0.")
        if torch.rand(()) >= chance:
            return None
        count = len(features)
        share = torch.distributions.Beta(CONCENTRATION, CONCENTRATION).sample((count,)).to(features.device)
        return mix_styles(features, share, torch.randperm(count, device=features.device))

    return hook
