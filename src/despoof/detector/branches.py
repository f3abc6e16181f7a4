"""What is read around the face: a picture of the surroundings (N, 3, S, S) in [-1, 1] -> numbers (N, K).

A branch is a frozen network of its own; its numbers stand beside the face's statistics. Another one is a class or a
function here and a line in `BRANCHES`.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from despoof.detector.backbones import BACKBONES
from despoof.detector.backbones import minifasnet as minifasnets
from despoof.detector.backbones.backbone import channel_statistics, layer_statistics
from despoof.detector.config import DetectorConfig
from despoof.faces.surroundings import SURROUNDINGS_SIZE

NEAR, FAR = 0, 1  # which of the surroundings
MINIFASNETS = {NEAR: (minifasnets.V2, "MiniFASNetV2_27.onnx"), FAR: (minifasnets.V1SE, "MiniFASNetV1SE_40.onnx")}


class Branch(nn.Module):
    """Part of a detector: `view` is the picture it is given, `count` how many numbers it gives."""

    view: int
    count: int

    def source(self, start: str, released: str) -> Path | None:
        """Return the file of weights to begin with, by a training's options `start` and `released`; None: random."""
        raise NotImplementedError

    def load(self, path: Path, start: str) -> None:
        """Put in the weights of a file that `source` named."""
        raise NotImplementedError


class StatisticsBranch(Branch):
    """Statistics of the layers of the detector's kind of backbone, in the near picture at the face's size."""

    view = NEAR

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.strides, self.every_layer = config.statistics, config.every_layer
        self.shrink = Shrink(SURROUNDINGS_SIZE, config.face_size)
        self.backbone = BACKBONES[config.backbone]()
        self.backbone.shorten(max(config.statistics))
        self.count = statistics_count(self.backbone, self.strides, self.every_layer)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return (N, K)."""
        features = self.backbone.normalise(self.shrink(picture))
        return layer_statistics(self.backbone, features, self.strides, self.every_layer)

    def source(self, start: str, released: str) -> Path | None:
        """Return where the backbone's released weights lie."""
        return None if start == "random" else self.backbone.released_path(start)

    def load(self, path: Path, start: str) -> None:
        """Read them."""
        self.backbone.load_released(start)


class MiniFASNetBranch(Branch):
    """The 128 numbers of a MiniFASNet in the picture that its authors give it."""

    count = minifasnets.NUMBERS

    def __init__(self, view: int) -> None:
        super().__init__()
        widths, self.file = MINIFASNETS[view]
        self.view = view
        self.shrink = Shrink(SURROUNDINGS_SIZE, minifasnets.SIDE)
        self.network = minifasnets.MiniFASNet(widths)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return (N, 128)."""
        return self.network(self.shrink(picture))

    def source(self, start: str, released: str) -> Path | None:
        """Return where the released file lies in the folder `released`."""
        return None if released == "random" else Path(released) / self.file

    def load(self, path: Path, start: str) -> None:
        """Read it."""
        minifasnets.load_released(self.network, path)


class MapsBranch(MiniFASNetBranch):
    """Statistics of a MiniFASNet's maps in the same picture."""

    def __init__(self, view: int) -> None:
        super().__init__(view)
        with torch.no_grad():
            self.count = self._read(torch.zeros(1, 3, minifasnets.SIDE, minifasnets.SIDE)).shape[1]

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return (N, K)."""
        return self._read(self.shrink(picture))

    def _read(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.cat([channel_statistics(each) for each in self.network.maps(picture)], 1)


class Shrink(nn.Module):
    """Average over areas, from `side` to `to` pixels, as the filter that shrinks faces (faces/align.py)."""

    def __init__(self, side: int, to: int) -> None:
        super().__init__()
        edges = torch.arange(to + 1) * (side / to)
        pixels = torch.arange(side)
        overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
        self.register_buffer("share", overlap.clamp(min=0) * (to / side), persistent=False)  # (to, side), rows of sum 1

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return (N, C, to, to) of (N, C, side, side)."""
        return self.share @ picture @ self.share.T


def statistics_count(backbone: nn.Module, strides: tuple[int, ...], every_layer: bool) -> int:
    """Return how many statistics a backbone gives; its batch norms stay as they are."""
    weight = backbone.first.weight
    side = backbone.side or max(stage.stride for stage in backbone.stages)
    mode = backbone.training
    backbone.eval()  # or batch norms would take the empty picture in
    with torch.no_grad():
        empty = weight.new_zeros(1, weight.shape[1], side, side)
        count = layer_statistics(backbone, empty, strides, every_layer).shape[1]
    backbone.train(mode)
    return count


BRANCHES: dict[str, Callable[[DetectorConfig], Branch]] = {
    "near": StatisticsBranch,
    "near_minifasnet": lambda config: MiniFASNetBranch(NEAR),
    "far_minifasnet": lambda config: MiniFASNetBranch(FAR),
    "near_maps": lambda config: MapsBranch(NEAR),
    "far_maps": lambda config: MapsBranch(FAR),
}
