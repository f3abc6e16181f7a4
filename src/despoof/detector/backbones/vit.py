"""Vision transformers (Dosovitskiy et al., arXiv 2010.11929) as a row of layers: picture -> tokens (N, 1 + T, D).

The first token is the class token, the others are patches in rows from the top left. Each transformer layer is two
entries of the row, self-attention and MLP with their residuals, so that something may come between them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

Activation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ViTShape:
    """Sizes, and in what CLIP's (arXiv 2103.00020) and DINOv2's (arXiv 2304.07193) towers differ from the first ViT."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    patch: int = 16
    size: int = 224  # pixels of the picture
    epsilon: float = 1e-12  # of the layer norms
    patch_bias: bool = True
    entry_norm: bool = False  # CLIP: a layer norm before the first layer
    layer_scale: bool = False  # DINOv2: a learned factor on each residual
    quick_gelu: bool = False  # CLIP: x sigmoid(1.702 x)


class Embed(nn.Module):
    """Patches and class token, with positions; these are interpolated for a picture of another size."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        side = shape.size // shape.patch
        self.patches = nn.Conv2d(3, shape.width, shape.patch, shape.patch, bias=shape.patch_bias)
        self.first = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.positions = nn.Parameter(torch.empty(1, 1 + side * side, shape.width))
        self.norm = nn.LayerNorm(shape.width, shape.epsilon) if shape.entry_norm else nn.Identity()

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return (N, 1 + T, D)."""
        grid = self.patches(picture)  # (N, D, h, w)
        tokens = torch.cat([self.first.expand(len(grid), -1, -1), grid.flatten(2).transpose(1, 2)], 1)
        return self.norm(tokens + resized_positions(self.positions, grid.shape[-2:]))


class SelfAttention(nn.Module):
    """h + s SA(LN h)."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.query, self.key, self.value, self.out = (nn.Linear(shape.width, shape.width) for _ in range(4))
        self.scale = nn.Parameter(torch.ones(shape.width)) if shape.layer_scale else 1.0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens of the same shape."""
        normed = self.norm(tokens)
        q, k, v = (
            layer(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return tokens + self.scale * self.out(seen)


class Mlp(nn.Module):
    """h + s MLP(LN h), four times as wide inside."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.widen, self.narrow = nn.Linear(shape.width, 4 * shape.width), nn.Linear(4 * shape.width, shape.width)
        self.scale = nn.Parameter(torch.ones(shape.width)) if shape.layer_scale else 1.0
        self.activation: Activation = quick_gelu if shape.quick_gelu else F.gelu

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens of the same shape."""
        return tokens + self.scale * self.narrow(self.activation(self.widen(self.norm(tokens))))


def vit_layers(shape: ViTShape) -> list[nn.Module]:
    """Return embedding, then self-attention and MLP of every layer in turn, then the last layer norm."""
    layers: list[nn.Module] = [Embed(shape)]
    for _ in range(shape.layers):
        layers += [SelfAttention(shape), Mlp(shape)]
    layers.append(nn.LayerNorm(shape.width, shape.epsilon))
    for module in layers:
        module.apply(_initialise)
    return layers


def resized_positions(positions: torch.Tensor, grid: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Return positions (1, 1 + T, D) for a grid (h, w) of patches; the class token keeps its own."""
    side = round((positions.shape[1] - 1) ** 0.5)
    if tuple(grid) == (side, side):
        return positions
    patches = positions[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    patches = F.interpolate(patches, size=tuple(grid), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], 1)


def quick_gelu(values: torch.Tensor) -> torch.Tensor:
    """Return x sigmoid(1.702 x), CLIP's GELU."""
    return values * torch.sigmoid(1.702 * values)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Embed):
        nn.init.trunc_normal_(module.positions, std=0.02)
