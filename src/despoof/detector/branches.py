"""What else is read, around the face and in it: pictures (N, 3, S, S) in [-1, 1] -> numbers (N, K).

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

NEAR, FAR, FACE = 0, 1, -1  # which of the surroundings, or the face itself
VIEWS = {NEAR: "near", FAR: "far", FACE: "face"}
MINIFASNETS = {NEAR: (minifasnets.V2, "MiniFASNetV2_27.onnx"), FAR: (minifasnets.V1SE, "MiniFASNetV1SE_40.onnx")}


class Branch(nn.Module):
    """Part of a detector: `views` are the pictures it is given, `parts` how many numbers of which name it gives."""

    views: tuple[int, ...]
    parts: dict[str, int]

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(self.parts.values())

    def source(self, start: str, released: str) -> Path | None:
        """Return the file of weights to begin with, by a training's options `start` and `released`; None: random."""
        raise NotImplementedError

    def load(self, path: Path, start: str) -> None:
        """Put in the weights of a file that `source` named."""
        raise NotImplementedError


class StatisticsBranch(Branch):
    """Statistics of the layers of the detector's kind of backbone, in the near picture at the face's size."""

    views = (NEAR,)

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.strides, self.every_layer = config.statistics, config.every_layer
        self.shrink = Shrink(SURROUNDINGS_SIZE, config.face_size)
        self.backbone = BACKBONES[config.backbone]()
        self.backbone.shorten(max(config.statistics))
        self.parts = {"near": statistics_count(self.backbone, self.strides, self.every_layer)}

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

    def __init__(self, view: int) -> None:
        super().__init__()
        widths, self.file = MINIFASNETS[view]
        self.views = (view,)
        self.parts = {f"{VIEWS[view]}_minifasnet": minifasnets.NUMBERS}
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
    """Statistics of a MiniFASNet's maps, and its 128 numbers, in that picture and in the aligned face."""

    def __init__(self, name: str, view: int, config: DetectorConfig) -> None:
        super().__init__(view)
        self.views = (view, FACE)
        self.shrink_face = Shrink(config.face_size, minifasnets.SIDE)
        channels = 2 * sum(minifasnets.MAP_CHANNELS)
        counts = {"maps": channels, "last": minifasnets.NUMBERS}
        self.parts = {
            f"{name}_{VIEWS[each]}_{part}": count for each in self.views for part, count in counts.items()
        }  # fmt: skip

    def forward(self, picture: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
        """Return (N, K): both pictures in one run, which is quicker than two."""
        maps, last = self.network.maps(torch.cat([self.shrink(picture), self.shrink_face(face)]))
        numbers = torch.cat([*map(channel_statistics, maps), last], 1)
        return numbers.unflatten(0, (2, -1)).transpose(0, 1).flatten(1)


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
    "minifasnet_v2": lambda config: MapsBranch("minifasnet_v2", NEAR, config),
    "minifasnet_v1se": lambda config: MapsBranch("minifasnet_v1se", FAR, config),
}
