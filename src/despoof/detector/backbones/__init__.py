"""Image networks cut into stages: face (N, 3, S, S) in [-1, 1] -> feature maps (N, C, H, W) or tokens (N, 1 + T, D)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from despoof.detector.backbones.efficientnet_lite import HEAD, lite_layers
from despoof.detector.backbones.resnet import resnet_layers
from despoof.detector.backbones.vit import ViTShape, vit_layers

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)  # mean and deviation that leave [-1, 1] as it is

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
    """A run of layers: the index after its last one, its stride against the picture, its channels, its name."""

    end: int
    stride: int
    channels: int
    name: str = ""

    @property
    def label(self) -> str:
        """A name that differs from stage to stage."""
        return self.name or f"stride_{self.stride}"


class Units(NamedTuple):
    """What a network was made for: mean and deviation of its colours, and the picture's side if it has one."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION
    side: int | None = None


class Backbone(nn.Module):
    """Layers in a row, `features`, cut into `stages`; what follows the last stage is the head."""

    def __init__(
        self, layers: list[nn.Module], stages: tuple[Stage, ...], out_channels: int, units: Units | None = None
    ) -> None:
        super().__init__()
        units = units or Units()
        self.features = nn.Sequential(*layers)
        self.stages = stages
        self.out_channels = out_channels
        self.side = units.side
        mean, deviation = torch.tensor(units.mean), torch.tensor(units.deviation)
        # ((face + 1) / 2 - mean) / deviation, as one factor and one offset
        self.register_buffer("factor", (0.5 / deviation).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("offset", ((0.5 - mean) / deviation).view(1, 3, 1, 1), persistent=False)

    def normalise(self, face: torch.Tensor) -> torch.Tensor:
        """Return a face in [-1, 1] in the mean and deviation that the network was made for, and at its size."""
        return self.resize(face) * self.factor + self.offset

    def resize(self, picture: torch.Tensor) -> torch.Tensor:
        """Return a picture (N, C, S, S) at the network's own size, where it has one."""
        if self.side in (None, picture.shape[-1]):
            return picture
        return F.interpolate(picture, (self.side, self.side), mode="bilinear", antialias=True)

    def widen(self, inputs: int) -> None:
        """Let the first convolution take further channels, whose weights start at zero."""
        self.first.weight = nn.Parameter(widened(self.first.weight.detach(), inputs))
        self.first.in_channels = inputs

    def shorten(self, stride: int) -> None:
        """Leave out all layers after the last stage of this stride."""
        kept = [stage for stage in self.stages if stage.stride <= stride]
        self.stages = tuple(kept)
        self.features = self.features[: kept[-1].end]

    @property
    def first(self) -> nn.Conv2d:
        """The convolution that the picture meets."""
        return next(module for module in self.modules() if isinstance(module, nn.Conv2d))

    def stage(self, index: int, features: torch.Tensor) -> list[torch.Tensor]:
        """Run stage `index` on the output of the one before it, or on the normalised face; return each layer's."""
        start = self.stages[index - 1].end if index else 0
        outputs = []
        for layer in self.features[start : self.stages[index].end]:
            features = layer(features)
            outputs.append(features)
        return outputs

    @torch.no_grad()
    def widths(self) -> dict[Stage, list[int]]:
        """Return the channels of each stage's layers, found by running them on an empty picture, a small one."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()  # or batch norms would take the empty picture in
        features, found = self.normalise(torch.zeros(1, 3, 32, 32)), {}
        if (missing := self.first.in_channels - 3) > 0:
            features = torch.cat([features, features.new_zeros(1, missing, *features.shape[2:])], 1)
        for index, stage in enumerate(self.stages):
            outputs = self.stage(index, features)
            features = outputs[-1]
            found[stage] = [each.shape[1] if each.ndim == 4 else each.shape[2] for each in outputs]
        for module, mode in modes:
            module.training = mode
        return found

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Run what follows the last stage."""
        return self._layers(self.stages[-1].end, len(self.features), features)

    def forward(self, face: torch.Tensor) -> torch.Tensor:
        """Return the last feature map (N, out_channels, H, W), or tokens (N, 1 + T, out_channels)."""
        return self._layers(0, len(self.features), self.normalise(face))

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, out_channels) from what `head` returned: the mean of a map, the class token of tokens."""
        return features.mean((2, 3)) if features.ndim == 4 else features[:, 0]

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
    return _initialised(Backbone(layers, stages, 1280))


def resnet18() -> Backbone:
    """Return ResNet-18 (arXiv 1512.03385) without its classifier: 11.18 M parameters."""
    stages = (Stage(3, 4, 64), Stage(5, 8, 128), Stage(7, 16, 256), Stage(9, 32, 512))
    return _initialised(Backbone(resnet_layers(), stages, 512))


def efficientnet_lite(width: float, depth: float) -> Backbone:
    """Return an EfficientNet-Lite, made for colours in [-1, 1]: 3.4 M parameters at 1 and 1, 4.8 M at 1.1 and 1.2."""
    layers, stages = lite_layers(width, depth)
    return _initialised(Backbone(layers, tuple(Stage(*each) for each in stages), HEAD, Units(HALF, HALF)))


def tiny_cnn() -> Backbone:
    """Return a network small enough for tests: five strided convolutions and a head."""
    widths = (4, 8, 8, 16, 16)
    layers = [convolution(i, o, 3, 2) for i, o in zip((3, *widths), widths, strict=False)]
    stages = tuple(Stage(i + 1, 2 ** (i + 1), width) for i, width in enumerate(widths))
    return _initialised(Backbone([*layers, convolution(widths[-1], 32, 1)], stages, 32))


def transformer(shape: ViTShape, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Backbone:
    """Return a vision transformer. A stage ends after each self-attention, so what comes there precedes the MLP."""
    stages = tuple(Stage(2 + 2 * i, shape.patch, shape.width, f"layer_{i + 1}") for i in range(shape.layers))
    return Backbone(vit_layers(shape), stages, shape.width, Units(mean, deviation, shape.size))


# A transformer is its shape and the colours it was trained on: arXiv 2010.11929, 2103.00020, 2304.07193.
TRANSFORMERS: dict[str, tuple[ViTShape, tuple[float, ...], tuple[float, ...]]] = {
    "vit_b16": (ViTShape(), HALF, HALF),
    "vit_tiny": (ViTShape(width=16, layers=3, heads=2, patch=8, size=64), HALF, HALF),  # for tests
    "clip_b16": (
        ViTShape(epsilon=1e-5, patch_bias=False, entry_norm=True, quick_gelu=True), CLIP_MEAN, CLIP_DEVIATION
    ),
    "dinov2_s14": (
        ViTShape(width=384, heads=6, patch=14, epsilon=1e-6, layer_scale=True), IMAGENET_MEAN, IMAGENET_DEVIATION
    ),
}  # fmt: skip
BACKBONES: dict[str, Callable[[], Backbone]] = {
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_lite0": partial(efficientnet_lite, 1.0, 1.0),
    "efficientnet_lite2": partial(efficientnet_lite, 1.1, 1.2),
    "resnet18": resnet18,
    "tiny_cnn": tiny_cnn,
    **{name: partial(transformer, *parts) for name, parts in TRANSFORMERS.items()},
}


def widened(weight: torch.Tensor, inputs: int) -> torch.Tensor:
    """Return a convolution's weight (O, C, h, w) with zeros for further input channels, those of the cue."""
    return torch.cat([weight, weight.new_zeros(len(weight), inputs - weight.shape[1], *weight.shape[2:])], 1)


def _initialised(backbone: Backbone) -> Backbone:
    backbone.apply(_initialise)
    return backbone


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
