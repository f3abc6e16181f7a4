"""Cue (N, 3, S, S) -> tokens (N, T, D), in rows from the top left: 64 tokens of 128 pixels at stride 16."""

import torch
from torch import nn

from despoof.detector.backbones.resnet import resnet_layers


class CueEncoder(nn.Module):
    """A residual network without pooling; `widths` are its channels at stride 2, 4, 8 and 16.

    The role of AG-FAS's ResNet-18 without its head, at 28 MMAC for 128 pixels in the preset `mobilenet`.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        pairs = zip(widths, widths[1:], strict=False)
        self.blocks = nn.Sequential(*(ResidualBlock(inputs, outputs) for inputs, outputs in pairs))
        self.norm = nn.LayerNorm(widths[-1])

    def forward(self, cue: torch.Tensor) -> torch.Tensor:
        """Return (N, T, D); T follows from the cue's size."""
        features = self.blocks(self.stem(cue))  # (N, D, S / 16, S / 16)
        return self.norm(features.flatten(2).transpose(1, 2))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a 1x1 projection (He et al., arXiv 1512.03385); halves the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs, H / 2, W / 2)."""
        return torch.relu(self.body(features) + self.skip(features))


class ResNetCueEncoder(nn.Module):
    """AG-FAS's encoder: ResNet-18 without pooling and head, 64 tokens of 512 from 256 pixels; 11.18 M parameters."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.features = nn.Sequential(*resnet_layers(widths))

    def forward(self, cue: torch.Tensor) -> torch.Tensor:
        """Return (N, (S / 32)^2, D)."""
        return self.features(cue).flatten(2).transpose(1, 2)


CUE_ENCODERS: dict[str, type[nn.Module]] = {"ours": CueEncoder, "resnet18": ResNetCueEncoder}
