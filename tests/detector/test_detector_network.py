"""The detector's wiring: the cue must be silent at the start, heard after it, and everything must survive a file."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from despoof.detector.backbones.cue_encoder import CueEncoder
from despoof.detector.config import MOBILENET, PAPER, PRESETS, TINY, DetectorConfig
from despoof.detector.network import CueAttention, Detector, load_detector, save_detector
from despoof.errors import ArtefactError, ConfigError, InputError

INSERTIONS = ("attention", "last", "concat", "dual", "cue", "none")


def made(insertion: str, seed: int = 0, **changes) -> Detector:
    torch.manual_seed(seed)
    return Detector(replace(TINY, insertion=insertion, **changes)).eval()


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((3, 3, 64, 64), generator=generator) * 2 - 1, torch.randn((3, 3, 64, 64), generator=generator)


@pytest.mark.parametrize("insertion", ["attention", "last", "concat", "dual"])
def test_starts_exactly_as_the_plain_backbone(pair, insertion):
    plain, guided = made("none")(pair[0]), made(insertion)(*pair)
    assert torch.equal(plain.logit, guided.logit)
    assert torch.equal(plain.embedding, guided.embedding)


TEXTURE = {"statistics": (2, 4, 8, 16), "every_layer": True, "attention_strides": (8, 16), "rectified": True}


def test_with_statistics_attention_starts_as_the_plain_network_and_is_heard_in_both_layers_it_follows(pair):
    plain, guided = made("none", **TEXTURE), made("attention", **TEXTURE)
    assert torch.equal(plain(pair[0]).logit, guided(*pair).logit)
    before = guided.statistics(*pair)
    for block in guided.attention.values():
        torch.nn.init.normal_(block.out.weight)
    changed = (guided.statistics(*pair) != before).any(0)
    # tiny_cnn: 4, 8, 8, 16 channels at stride 2, 4, 8, 16, each with mean and deviation
    assert not changed[: 2 * (4 + 8)].any()
    assert changed[2 * (4 + 8) :].all()


def test_a_rectified_head_is_the_linear_one_after_relu(pair):
    face = pair[0]
    linear, rectified = (made("none", **TEXTURE | {"rectified": each, "unit_norm": False}) for each in (False, True))
    embedding = linear(face).embedding
    assert (embedding < 0).any()
    torch.testing.assert_close(rectified(face).embedding, embedding.clamp(min=0))
    torch.testing.assert_close(rectified(face).logit, linear.classify(embedding.clamp(min=0)).squeeze(1))


@pytest.mark.parametrize(("insertion", "way_in"), [("attention", "attention"), ("dual", "classify_cue")])
def test_cue_is_heard_once_its_way_in_has_weights_and_skipped_without_it(pair, insertion, way_in):
    detector = made(insertion)
    for parameter in getattr(detector, way_in).parameters():
        torch.nn.init.normal_(parameter)
    face, cue = pair
    assert not torch.allclose(detector(face, cue).logit, detector(face, cue.flip(0)).logit)
    assert torch.equal(detector(face).logit, made("none")(face).logit)


@pytest.mark.parametrize("insertion", ["attention", "dual"])
def test_the_cue_encoder_learns_after_one_step(pair, insertion):
    detector = made(insertion)
    optimiser = torch.optim.SGD(detector.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        detector(*pair).logit.square().sum().backward()
        optimiser.step()
    assert all(p.grad.abs().sum() > 0 for p in detector.cue_encoder.parameters() if p.ndim > 1)


def test_attention_equals_the_written_formula():
    torch.manual_seed(0)
    block = CueAttention(channels=6, tokens=8, heads=2, width=8)
    torch.nn.init.normal_(block.out.weight)
    features, tokens = torch.randn(2, 6, 3, 5), torch.randn(2, 7, 8)
    expected = features.clone()
    for n in range(2):
        for y in range(3):
            for x in range(5):
                q = block.query(F.layer_norm(features[n, :, y, x], (6,)))
                k, v = block.key(tokens[n]), block.value(tokens[n])
                heads = [torch.softmax(k[:, s] @ q[s] / 4**0.5, 0) @ v[:, s] for s in (slice(0, 4), slice(4, 8))]
                expected[n, :, y, x] += block.out(torch.cat(heads))
    torch.testing.assert_close(block(features, tokens), expected)


@pytest.mark.parametrize("insertion", INSERTIONS)
def test_forward_changes_no_weight(pair, insertion):
    detector = made(insertion)
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    detector(pair[0], pair[1] if insertion != "none" else None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in detector.state_dict().items())


def test_embedding_is_on_the_unit_sphere_only_if_asked(pair):
    norms = made("attention")(*pair).embedding.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(3))
    assert not torch.allclose(made("attention", unit_norm=False)(*pair).embedding.norm(dim=1), torch.ones(3))


def test_cue_tokens_follow_from_the_size():
    encoder = CueEncoder(MOBILENET.cue_widths).eval()
    assert encoder(torch.zeros(2, 3, 128, 128)).shape == (2, 64, 96)
    assert encoder(torch.zeros(1, 3, 64, 96)).shape == (1, 24, 96)


def test_cue_encoder_is_cheap():
    encoder, macs = CueEncoder(MOBILENET.cue_widths).eval(), []

    def count(layer, _, out):
        macs.append(layer.weight.numel() * out.shape[2] * out.shape[3])

    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    encoder(torch.zeros(1, 3, 128, 128))
    assert len(macs) == 10
    assert 2 * sum(macs) < 60e6


@pytest.mark.parametrize("insertion", INSERTIONS)
def test_mobilenet_is_built_as_described(insertion):
    detector = Detector(replace(MOBILENET, insertion=insertion))
    blocks = {name: block.norm.normalized_shape[0] for name, block in getattr(detector, "attention", {}).items()}
    every = {"stride_8": 32, "stride_16": 96, "stride_32": 320}
    expected = {"attention": every, "last": {"stride_32": 320}}
    assert blocks == expected.get(insertion, {})
    assert PRESETS["mobilenet"].network is MOBILENET


@pytest.mark.parametrize(
    ("face", "cue"),
    [
        (torch.zeros(3, 64, 64), None),
        (torch.zeros(1, 3, 128, 128), None),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), None),
        (torch.zeros(2, 3, 64, 64), torch.zeros(1, 3, 64, 64)),
        (torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 32, 32)),
    ],
)
def test_wrong_sizes_are_refused(face, cue):
    with pytest.raises(InputError):
        made("attention")(face, cue)


def test_a_cue_for_a_plain_detector_is_refused(pair):
    with pytest.raises(InputError, match="Leave it out"):
        made("none")(*pair)


@pytest.mark.parametrize(
    "changes",
    [
        {"face_size": 100},
        {"heads": 3},
        {"backbone": "resnet"},
        {"attention_strides": (7,)},
        {"attention_strides": ()},
    ],
)
def test_impossible_configs_are_refused(changes):
    with pytest.raises(ConfigError):
        Detector(replace(TINY, **changes))


def test_liveness_is_the_sigmoid_of_the_tempered_logit(pair):
    detector = made("attention")
    detector.facts["temperature"] = 2.0
    expected = torch.sigmoid(detector(*pair).logit / 2).detach()
    torch.testing.assert_close(detector.liveness(*pair), expected)
    torch.testing.assert_close(detector.liveness(pair[0][0], pair[1][0]), expected[0])
    with pytest.raises(InputError, match="training mode"):
        detector.train().liveness(*pair)


@pytest.mark.parametrize("insertion", INSERTIONS)
def test_a_file_gives_the_same_detector(tmp_path, pair, insertion):
    detector = made(insertion)
    detector.facts["step"] = 7
    save_detector(tmp_path / "d.safetensors", detector, facts={"temperature": 1.5, "thresholds": {"eer": 0.25}})
    read = load_detector(tmp_path / "d.safetensors")
    cue = None if insertion == "none" else pair[1]
    assert torch.equal(read(pair[0], cue).logit, detector(pair[0], cue).logit)
    assert (read.config, read.temperature) == (detector.config, 1.5)
    assert read.facts == {"step": 7, "temperature": 1.5, "thresholds": {"eer": 0.25}}
    assert not read.training


def test_thresholds_come_from_the_file_and_are_never_made_up(tmp_path):
    detector = made("none")
    with pytest.raises(ArtefactError, match="attack_below and live_from"):
        _ = detector.thresholds
    limits = {"attack_below": 0.2, "live_from": 0.7, "source_eer": 0.5}
    save_detector(tmp_path / "d.safetensors", detector, facts={"thresholds": limits})
    assert load_detector(tmp_path / "d.safetensors").thresholds == (0.2, 0.7)


def test_a_file_of_half_precision_is_read_as_float32(tmp_path, pair):
    detector = made("attention")
    expected = detector(*pair).logit
    save_detector(tmp_path / "d.safetensors", detector.half())
    read = load_detector(tmp_path / "d.safetensors")
    torch.testing.assert_close(read(*pair).logit, expected, atol=5e-3, rtol=0)
    assert {p.dtype for p in read.parameters()} == {torch.float32}


def test_weights_of_another_config_are_refused(tmp_path):
    detector = made("attention")
    detector.config = replace(detector.config, embedding=8)
    save_detector(tmp_path / "d.safetensors", detector)
    with pytest.raises(ArtefactError):
        load_detector(tmp_path / "d.safetensors")
    assert DetectorConfig() == MOBILENET


def test_cue_alone_sees_no_face_and_needs_the_cue(pair):
    detector = made("cue")
    torch.testing.assert_close(detector(*pair).logit, detector(torch.zeros_like(pair[0]), pair[1]).logit)
    with pytest.raises(InputError, match="got none"):
        detector(pair[0])


@pytest.mark.parametrize("backbone", ["tiny_cnn", "vit_tiny"])
def test_attention_map_is_the_mean_softmax_of_the_last_block(pair, backbone):
    strides = (16,) if backbone == "tiny_cnn" else (8,)
    detector = made("attention", backbone=backbone, attention_strides=strides)
    found = detector.attention_map(*pair)
    assert found.shape == (3, 4, 4)
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(3))
    # by hand: what the last block is given, its queries and keys, head by head
    block = list(detector.attention.values())[-1]
    given = {}
    block.register_forward_hook(lambda module, inputs, output: given.update(zip(("h", "c"), inputs, strict=True)))
    with torch.no_grad():
        detector(*pair)
        features = given["h"].flatten(2).transpose(1, 2) if given["h"].ndim == 4 else given["h"]
        q, k = block.query(F.layer_norm(features, features.shape[-1:])), block.key(given["c"])
        heads = [(q[..., s] @ k[..., s].mT / 8**0.5).softmax(-1) for s in (slice(0, 8), slice(8, 16))]
    torch.testing.assert_close(found.flatten(1), torch.stack(heads).mean((0, 2)))
    assert made("none").attention_map(*pair) is None


def test_paper_has_the_published_size_and_starts_as_the_plain_transformer():
    with torch.device("meta"):
        detector = Detector(PAPER)
        tokens = detector.cue_encoder(torch.empty(1, 3, 256, 256))
    assert tokens.shape == (1, 64, 512)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in detector.named_children()}
    assert count["attention"] == 12 * (2 * 768 + 2 * (768 * 768 + 768) + 2 * (512 * 768 + 768)) == 23_648_256
    assert len(detector.attention) == 12
    assert count["cue_encoder"] == 11_176_512  # ResNet-18 without its classifier
    pooler = 768 * 768 + 768  # in the release, unused; we leave it out
    assert round((sum(count.values()) + pooler) / 1e6, 1) == 121.6
    small = replace(PAPER, backbone="vit_tiny", face_size=64, cue_encoder="ours", cue_widths=(4, 8, 8, 16), heads=2)
    small = replace(small, attention_strides=(8,), attention_width=16, embedding=16)
    torch.manual_seed(0)
    guided = Detector(small).eval()
    torch.manual_seed(0)
    plain = Detector(replace(small, insertion="none")).eval()
    face, cue = torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 3, 64, 64)
    assert torch.equal(guided(face, cue).logit, plain(face).logit)
    torch.testing.assert_close(guided(face, cue).embedding.norm(dim=1), torch.ones(2))


def test_a_face_larger_than_the_transformers_picture_is_made_smaller_and_the_cue_is_not():
    config = replace(TINY, backbone="vit_tiny", face_size=96, attention_strides=(8,))
    torch.manual_seed(0)
    detector = Detector(config).eval()
    sizes = []
    detector.backbone.features[0].register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[-1]))
    detector.cue_encoder.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[-1]))
    detector(torch.zeros(1, 3, 96, 96), torch.zeros(1, 3, 96, 96))
    assert sorted(sizes) == [64, 96]


def test_an_unknown_cue_encoder_is_named():
    with pytest.raises(ConfigError, match="expected one of ours, resnet18"):
        Detector(replace(TINY, cue_encoder="magic"))
