"""The detector's wiring: the cue must be silent at the start, heard after it, and everything must survive a file."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from despoof.detector.config import PRESETS, SMALL, TINY, DetectorConfig
from despoof.detector.cue_encoder import CueEncoder
from despoof.detector.network import CueAttention, Detector, load_detector, save_detector
from despoof.errors import ArtefactError, ConfigError, InputError

INSERTIONS = ("attention", "none", "dual")


def made(insertion: str, seed: int = 0, **changes) -> Detector:
    torch.manual_seed(seed)
    return Detector(replace(TINY, insertion=insertion, **changes)).eval()


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((3, 3, 64, 64), generator=generator) * 2 - 1, torch.randn((3, 3, 64, 64), generator=generator)


@pytest.mark.parametrize("insertion", ["attention", "dual"])
def test_starts_exactly_as_the_plain_backbone(pair, insertion):
    plain, guided = made("none")(pair[0]), made(insertion)(*pair)
    assert torch.equal(plain.logit, guided.logit)
    assert torch.equal(plain.embedding, guided.embedding)


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
    block = CueAttention(channels=6, width=8, heads=2)
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
    encoder = CueEncoder(SMALL.cue_widths).eval()
    assert encoder(torch.zeros(2, 3, 128, 128)).shape == (2, 64, 96)
    assert encoder(torch.zeros(1, 3, 64, 96)).shape == (1, 24, 96)


def test_cue_encoder_is_cheap():
    encoder, macs = CueEncoder(SMALL.cue_widths).eval(), []

    def count(layer, _, out):
        macs.append(layer.weight.numel() * out.shape[2] * out.shape[3])

    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    encoder(torch.zeros(1, 3, 128, 128))
    assert len(macs) == 10
    assert 2 * sum(macs) < 60e6


@pytest.mark.parametrize("insertion", INSERTIONS)
def test_small_is_built_as_described(insertion):
    detector = Detector(replace(SMALL, insertion=insertion))
    blocks = {name: block.norm.normalized_shape[0] for name, block in getattr(detector, "attention", {}).items()}
    expected = {"stride_8": 32, "stride_16": 96, "stride_32": 320} if insertion == "attention" else {}
    assert blocks == expected
    assert PRESETS["small"][0] is SMALL


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
    assert DetectorConfig() == SMALL
