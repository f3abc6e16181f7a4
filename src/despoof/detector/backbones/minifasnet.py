"""MiniFASNet, V2 and V1SE: picture (N, 3, 80, 80) RGB in [-1, 1] -> the 128 numbers that its authors' classes follow.

A narrow MobileFaceNet that saw a large set of attacks (Silent-Face-Anti-Spoofing, Apache-2.0). The layers are written
from the graph of the released files, whose batch norms are folded into the convolutions; three classes, linear in the
128 numbers, are left out.
"""

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from despoof.errors import ArtefactError, ConfigError
from despoof.runs.checkpoint import load_strict

SIDE = 80  # pixels that it was made for
NUMBERS = 128
GROUP_CHANNELS = (64, 128, 128)  # of the three groups of blocks, each at half of the size before it
MAPS = (1, 6, 13, 16, 17)  # layers whose maps are read: the last of each size and group, and the widest
MAP_CHANNELS = (32, 64, 128, 128, 512)
GATE = 4  # a gate squeezes its channels to this part of them


class Widths(NamedTuple):
    """Hidden channels: of each group's first block, which halves the size, and of those that follow it."""

    halving: tuple[int, int, int]
    blocks: tuple[tuple[int, ...], ...]
    gated: bool  # squeeze and excitation in the last block of each group


V2 = Widths((103, 231, 308), ((13, 13, 13, 13), (231, 52, 26, 77, 26, 26), (26, 26)), gated=False)
V1SE = Widths((103, 231, 308), ((13, 26, 13, 52), (154, 52, 26, 52, 26, 26), (26, 26)), gated=True)


class NarrowBlock(nn.Module):
    """Expand, filter each channel, project linearly; beside the identity where the size stays."""

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int = 1, *, gated: bool = False) -> None:
        super().__init__()
        self.expand = _convolution(inputs, hidden)
        self.depthwise = _convolution(hidden, hidden, 3, stride, padding=1, groups=hidden)
        self.project = _convolution(hidden, outputs, active=False)
        self.gate = Gate(outputs) if gated else nn.Identity()
        self.skip = stride == 1

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs, H / stride, W / stride)."""
        filtered = self.gate(self.project(self.depthwise(self.expand(features))))
        return features + filtered if self.skip else filtered


class Gate(nn.Module):
    """Squeeze and excitation (arXiv 1709.01507): each channel times a factor that all channels' means decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // GATE, 1)
        self.excite = nn.Conv2d(channels // GATE, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        means = features.mean((2, 3), keepdim=True)
        return features * torch.sigmoid(self.excite(torch.relu(self.squeeze(means))))


class MiniFASNet(nn.Module):
    """The network up to its classes. Layers are registered in the order in which they run."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        layers = [_convolution(3, 32, 3, 2, padding=1), _convolution(32, 32, 3, padding=1, groups=32)]
        inputs = 32
        for first, hidden, outputs in zip(widths.halving, widths.blocks, GROUP_CHANNELS, strict=True):
            layers.append(NarrowBlock(inputs, first, outputs, 2))
            for place, width in enumerate(hidden, 1):
                gated = widths.gated and place == len(hidden)
                layers.append(NarrowBlock(outputs, width, outputs, gated=gated))
            inputs = outputs
        layers += [_convolution(inputs, 512), _convolution(512, 512, 5, groups=512, active=False)]
        self.layers = nn.Sequential(*layers)
        self.embed = nn.Linear(512, NUMBERS, bias=False)
        self.norm = nn.BatchNorm1d(NUMBERS)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return (N, 128)."""
        return self.maps(picture)[1]

    def maps(self, picture: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the outputs (N, C, H, W) of the layers `MAPS`, and what `forward` returns."""
        features, found = (picture.flip(1) + 1) * 127.5, []  # 0..255, blue first
        for number, layer in enumerate(self.layers):
            features = layer(features)
            if number in MAPS:
                found.append(features)
        return found, self.norm(self.embed(features.flatten(1)))


def load_released(network: MiniFASNet, path: str | Path) -> None:
    """Put in the weights of a released ONNX file; one whose layers are not this network's is an ArtefactError."""
    layers = {name: layer for name, layer in network.named_modules() if type(layer) in OPERATIONS}
    wanted = [(OPERATIONS[type(layer)], _way(layer)) for layer in layers.values()]
    stored = _stored(Path(path))
    if [each[:2] for each in stored] != [*wanted, ("MatMul", ())]:
        raise ArtefactError(
            f"{path} has {len(stored)} layers with weights that are not the {len(wanted) + 1} of this network; "
            "expected the file as it was released (Silent-Face-Anti-Spoofing). Fetch it again."
        )
    tensors: dict[str, torch.Tensor] = {}
    for (name, layer), (operation, _, arrays) in zip(layers.items(), stored, strict=False):
        if operation == "MatMul":
            arrays = [arrays[0].T]
        elif operation == "PRelu":
            arrays = [arrays[0].flatten()]
        own = [key for key in layer.state_dict() if key != "num_batches_tracked"]
        tensors |= {f"{name}.{key}": array for key, array in zip(own, arrays, strict=True)}
    counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    load_strict(network, tensors | counters, path)


OPERATIONS = {nn.Conv2d: "Conv", nn.PReLU: "PRelu", nn.Linear: "MatMul", nn.BatchNorm1d: "BatchNormalization"}


def _way(layer: nn.Module) -> tuple:
    """Return strides, padding and groups of a convolution; nothing of another layer."""
    if not isinstance(layer, nn.Conv2d):
        return ()
    return layer.stride, (*layer.padding, *layer.padding), layer.groups


def _stored(path: Path) -> list[tuple[str, tuple, list[torch.Tensor]]]:
    """Return each operation of a file that has weights: its name, its way, its weights."""
    try:
        import onnx
    except ImportError:
        raise ConfigError(
            f"onnx is not installed; {path} cannot be read. Run `pip install 'despoof[export]'`."
        ) from None
    try:
        graph = onnx.load(str(path)).graph
    except OSError as error:
        raise ArtefactError(
            f"{path} cannot be read ({error}); expected a released ONNX file. Give its folder."
        ) from None
    except Exception as error:  # of protobuf, which shares no public class with onnx
        raise ArtefactError(f"{path} is no ONNX file ({error}). Fetch it again.") from None
    weights = {each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in graph.initializer}
    found = []
    for node in graph.node:
        held = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        way = (tuple(held["strides"]), tuple(held["pads"]), held["group"]) if node.op_type == "Conv" else ()
        if own := [weights[name] for name in node.input if name in weights]:
            found.append((node.op_type, way, own))
    return found


def _convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, padding: int = 0, groups: int = 1,
    active: bool = True,
) -> nn.Sequential:  # fmt: skip
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)}
    if active:
        layers["act"] = nn.PReLU(outputs)
    return nn.Sequential(OrderedDict(layers))
