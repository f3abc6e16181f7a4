"""ArcFace's iResNet (Deng et al. 2019), with the layer names of InsightFace's checkpoints, so these load strictly.

Face (N, 3, S, S) in [-1, 1] -> identity. The tokens are the 7 x 7 x 512 map after the last 2-D batch norm, filled
with zeros to the width of the denoiser's cross-attention, as in the paper's release: no learned projection.
"""

import torch
from torch import nn
from torch.nn import functional as F

from despoof.generator.config import IdentityConfig
from despoof.generator.identity import Identity, to_identity_side


class IBlock(nn.Module):
    """Pre-normalised residual block; the second convolution strides."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(self.bn1(x))
        return self.bn3(self.conv2(self.prelu(self.bn2(inner)))) + self.downsample(x)


class IResNet(nn.Module):
    """iResNet-18 with blocks (2, 2, 2, 2), iResNet-50 with (3, 4, 14, 3), iResNet-100 with (3, 13, 30, 3)."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        first = width_in = config.widths[0]
        self.pad_to = config.pad_to or config.widths[-1]
        self.conv1 = nn.Conv2d(3, first, 3, padding=1, bias=False)  # (first, 112, 112)
        self.bn1 = nn.BatchNorm2d(first)
        self.prelu = nn.PReLU(first)
        for number, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True), 1):
            layer = [IBlock(width_in, width, 2), *(IBlock(width, width, 1) for _ in range(blocks - 1))]
            self.add_module(f"layer{number}", nn.Sequential(*layer))
            width_in = width
        self.bn2 = nn.BatchNorm2d(width_in)
        self.fc = nn.Linear(width_in * 49, config.embedding)
        self.features = nn.BatchNorm1d(config.embedding)

    def map(self, face: torch.Tensor) -> torch.Tensor:
        """Return the map (N, width, 7, 7)."""
        x = self.prelu(self.bn1(self.conv1(to_identity_side(face))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.bn2(x)

    def forward(self, face: torch.Tensor) -> Identity:
        """Return tokens (N, 49, pad_to) and embedding."""
        spatial = self.map(face)
        tokens = spatial.flatten(2).transpose(1, 2)
        tokens = F.pad(tokens, (0, self.pad_to - tokens.shape[-1]))
        return Identity(tokens, F.normalize(self.features(self.fc(spatial.flatten(1))), dim=1))
