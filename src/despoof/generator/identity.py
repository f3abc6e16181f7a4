"""Face -> identity tokens and embedding: an ArcFace-style encoder, distilled from a teacher; and others' encoders.

As in the released AG-FAS (model/arcface.py in `method` notes), the condition is the 7 x 7 map before the
embedding, 49 tokens, so it carries coarse layout and not identity alone.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from despoof.errors import ConfigError
from despoof.generator.config import IdentityConfig

IDENTITY_SIDE = 112


class Identity(NamedTuple):
    """`tokens` (N, 49, D), of our encoder layer-normalised; `embedding` (N, E), unit length."""

    tokens: torch.Tensor
    embedding: torch.Tensor


class Residual(nn.Module):
    """Pre-normalised residual block of two 3x3 convolutions, as in ArcFace's iResNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class IdentityEncoder(nn.Module):
    """Small iResNet-like network; input any (N, 3, S, S) in [-1, 1], resized to 112.

    Pixels are folded four by four at entry: on a CPU it trains five times faster than depthwise blocks of
    fewer operations, whose memory traffic dominates.
    """

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        first, *rest = config.widths
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(4),  # (48, 28, 28)
            nn.Conv2d(48, first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.PReLU(first),
            *(Residual(first) for _ in range(config.blocks[0])),
        ]
        width = first
        for wider, blocks in zip(rest, config.blocks[1:], strict=True):
            layers += [nn.Conv2d(width, wider, 3, 2, 1, bias=False), nn.BatchNorm2d(wider)]
            layers += [Residual(wider) for _ in range(blocks)]
            width = wider
        self.map = nn.Sequential(*layers)  # (width, 7, 7)
        self.embed = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.PReLU(2 * width),
            nn.Conv2d(2 * width, 2 * width, 7, groups=2 * width, bias=False),  # global depthwise
            nn.BatchNorm2d(2 * width),
            nn.Flatten(),
            nn.Linear(2 * width, config.embedding),
        )

    def forward(self, face: torch.Tensor) -> Identity:
        """Return tokens and embedding."""
        spatial = self.map(to_identity_side(face))
        tokens = spatial.flatten(2).transpose(1, 2)  # (N, 49, D)
        tokens = F.layer_norm(tokens, tokens.shape[-1:])
        return Identity(tokens, F.normalize(self.embed(spatial), dim=1))


def to_identity_side(face: torch.Tensor) -> torch.Tensor:
    """Return faces (N, 3, S, S) at 112 px, bilinear."""
    if face.shape[-1] == IDENTITY_SIDE:
        return face
    return F.interpolate(face, (IDENTITY_SIDE, IDENTITY_SIDE), mode="bilinear", align_corners=False)


def condition_tokens(identity: Identity, condition: str) -> torch.Tensor:
    """Return (N, K, D) for the denoiser: the map, the embedding as one token, or one token of zeros."""
    if condition == "map":
        return identity.tokens
    width = identity.embedding.shape[1]
    if condition == "embedding":
        return identity.embedding[:, None] * width**0.5  # unit variance per entry
    return torch.zeros_like(identity.embedding[:, None])


def condition_width(config: IdentityConfig, condition: str) -> int:
    """Return D of `condition_tokens`."""
    if condition != "map":
        return config.embedding
    if config.encoder == "onnx":
        raise ConfigError("condition 'map' with an ONNX encoder, which gives no map. Choose 'embedding' or 'none'.")
    return config.pad_to or config.widths[-1]
