"""A detector in the form that ONNX Runtime computes fastest: the same numbers, to rounding.

It keeps maps in blocks of channels, and leaves that order, at the price of two copies of the map, for a PReLU and for
filters whose channels no block divides. So hidden channels of MiniFASNet's blocks are filled up with empty ones, and a
PReLU becomes a filter of one pixel, a ReLU and a sum, which it has in that order: half of the time of those networks.
"""

from copy import deepcopy

import torch
from torch import nn

from despoof.detector.backbones.minifasnet import NarrowBlock
from despoof.detector.network import Detector

BLOCK = 16  # channels a block, the most of any processor


class SplitPReLU(nn.Module):
    """x + relu((slope - 1) x), which is PReLU where no channel's slope is above 1."""

    def __init__(self, slopes: torch.Tensor) -> None:
        super().__init__()
        count = len(slopes)
        self.falling = nn.Conv2d(count, count, 1, groups=count, bias=False)
        self.falling.weight = nn.Parameter((slopes.detach() - 1).view(-1, 1, 1, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (N, C, H, W) of the same shape."""
        return features + torch.relu(self.falling(features))


def quick(detector: Detector) -> Detector:
    """Return a copy of a detector that gives the same numbers; it is for export and not for a file of weights."""
    copy = deepcopy(detector)
    for block in [module for module in copy.modules() if isinstance(module, NarrowBlock)]:
        _fill(block)
    for parent in list(copy.modules()):
        for name, module in parent.named_children():
            if isinstance(module, nn.PReLU) and (module.weight <= 1).all():
                setattr(parent, name, SplitPReLU(module.weight))
    return copy


def _fill(block: NarrowBlock) -> None:
    """Give a block hidden channels that are zero everywhere, up to whole `BLOCK`s."""
    hidden = -(-block.depthwise.conv.out_channels // BLOCK) * BLOCK
    block.expand.conv = _filled(block.expand.conv, block.expand.conv.in_channels, hidden)
    block.depthwise.conv = _filled(block.depthwise.conv, hidden, hidden)
    block.project.conv = _filled(block.project.conv, hidden, block.project.conv.out_channels)
    for part in (block.expand, block.depthwise):
        slopes = part.act.weight.detach()
        part.act = nn.PReLU(hidden)
        part.act.weight = nn.Parameter(_zeros_with(slopes, (hidden,)))


def _filled(conv: nn.Conv2d, inputs: int, outputs: int) -> nn.Conv2d:
    groups = 1 if conv.groups == 1 else outputs
    made = nn.Conv2d(inputs, outputs, conv.kernel_size, conv.stride, conv.padding, groups=groups)
    made.weight = nn.Parameter(_zeros_with(conv.weight.detach(), tuple(made.weight.shape)))
    made.bias = nn.Parameter(_zeros_with(conv.bias.detach(), (outputs,)))
    return made


def _zeros_with(values: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Return zeros of this shape, in whose first places the values stand."""
    zeros = values.new_zeros(shape)
    zeros[tuple(slice(length) for length in values.shape)] = values
    return zeros
