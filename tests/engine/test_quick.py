"""The form for export gives the numbers of the detector that it was made of."""

import pytest
import torch
from torch import nn

from despoof.detector.backbones.minifasnet import V1SE, V2, MiniFASNet, NarrowBlock
from despoof.engine.quick import BLOCK, SplitPReLU, quick


@pytest.fixture
def network() -> MiniFASNet:
    torch.manual_seed(0)
    made = MiniFASNet(V1SE).eval()
    for module in made.modules():
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -1.5, 1)
    return made


def test_the_numbers_stay(network: MiniFASNet) -> None:
    picture = torch.rand(2, 3, 80, 80) * 2 - 1
    with torch.no_grad():
        maps, wanted = network.maps(picture)
        found, last = quick(network).maps(picture)
    for one, other in zip([*maps, wanted], [*found, last], strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * float(one.abs().max()))


def test_no_channel_is_outside_a_block_and_the_given_one_is_as_it_was(network: MiniFASNet) -> None:
    copy = quick(network)
    assert all(m.depthwise.conv.groups % BLOCK == 0 for m in copy.modules() if isinstance(m, NarrowBlock))
    assert not any(isinstance(module, nn.PReLU) for module in copy.modules())
    assert any(isinstance(module, nn.PReLU) for module in network.modules())
    assert network.layers[2].depthwise.conv.groups == V2.halving[0] == 103


def test_a_slope_above_one_stays_a_prelu() -> None:
    rising = nn.Sequential(nn.PReLU(4, 1.5), nn.PReLU(4, 1.0))
    first, second = quick(rising)
    assert isinstance(first, nn.PReLU)
    assert isinstance(second, SplitPReLU)
    features = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(quick(rising)(features), rising(features))
