"""ResNet-18's parts (He et al., arXiv 1512.03385): a stem at a quarter of the side, then four groups of two blocks."""

import torch
from torch import nn

from despoof.detector.backbones.backbone import Backbone, ReleasedFile, Stage, Tensors, initialised

WIDTHS = (64, 128, 256, 512)
STRIDES = (1, 2, 2, 2)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, or a 1x1 projection where the shape changes; torchvision's names."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs, H / stride, W / stride)."""
        skip = features if self.downsample is None else self.downsample(features)
        features = torch.relu(self.bn1(self.conv1(features)))
        return torch.relu(self.bn2(self.conv2(features)) + skip)


def resnet_layers(widths: tuple[int, ...] = WIDTHS) -> list[nn.Module]:
    """Return the stem and two blocks for each of the widths, as a row of layers: stride 4, 4, 4, 8, 8, 16, ..."""
    stem = nn.Sequential(
        nn.Conv2d(3, widths[0], 7, 2, 3, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    )
    layers: list[nn.Module] = [stem]
    inputs = widths[0]
    for outputs, stride in zip(widths, STRIDES, strict=True):
        layers += [BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)]
        inputs = outputs
    return layers


def resnet18() -> Backbone:
    """Return ResNet-18 without its classifier: 11.18 M parameters."""
    stages = (Stage(3, 4, 64), Stage(5, 8, 128), Stage(7, 16, 256), Stage(9, 32, 512))
    return initialised(Backbone(resnet_layers(), stages, 512, released=ReleasedFile(torchvision_names)))


def torchvision_names(tensors: Tensors) -> Tensors:
    """Return torchvision's tensors of a ResNet-18 under the names of `resnet_layers`, without the classifier."""
    renamed = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".")
        if head in ("conv1", "bn1"):
            renamed[f"0.{('conv1', 'bn1').index(head)}.{rest}"] = tensor
        elif head.startswith("layer"):
            block, _, inner = rest.partition(".")
            renamed[f"{1 + 2 * (int(head[5:]) - 1) + int(block)}.{inner}"] = tensor
    return renamed
