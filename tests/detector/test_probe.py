"""The linear probe: against scikit-learn's logistic regression, and what a detector with statistics must do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from despoof.detector.backbones.backbone import channel_statistics
from despoof.detector.batches import Gathered
from despoof.detector.config import PROBE, DetectorConfig, DetectorRecipe, ProbeTraining
from despoof.detector.frozen.probe import fit_probe, logistic_regression, shares
from despoof.detector.frozen.reading import Numbers
from despoof.detector.network import Detector
from despoof.detector.scoring import logits
from despoof.errors import ConfigError, InputError

CONFIG = replace(PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8), cue_form="signed")
TRAINING = ProbeTraining(start="random")


def _gathered(start, count=40, *, counterparts=False):
    """Live faces are noise, attacks the same noise smoothed: a difference that mean and deviation show."""
    rng = np.random.default_rng(start)
    faces = rng.integers(0, 256, (count, 64, 64, 3)).astype(np.uint8)
    live = np.arange(count) % 2 == 0
    faces[~live] = 128 + (faces[~live].astype(int) - 128) // 3
    keys = [f"{start}-{i}" for i in range(count)]
    other = np.full_like(faces, 128) if counterparts else None
    return Gathered(faces, other, live, np.arange(count) // 4 % 2, keys)


def test_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    numbers, live, share = rng.normal(size=(300, 7)), rng.random(300) < 0.4, rng.random(300)
    share /= share.sum()
    weight, bias = logistic_regression(*map(torch.from_numpy, (numbers, live, share)), 0.05)
    # sklearn: C * sum(w_i loss_i) + |a|^2 / 2
    other = LogisticRegression(C=1 / 0.05, tol=1e-10, max_iter=5000).fit(numbers, live, sample_weight=share)
    np.testing.assert_allclose(weight, other.coef_[0], atol=1e-5)
    np.testing.assert_allclose(bias, other.intercept_[0], atol=1e-5)


def test_statistics_are_means_then_deviations():
    rng = np.random.default_rng(0)
    features = rng.normal(2, 3, (2, 3, 5, 4))
    expected = np.concatenate([features.mean((2, 3)), np.sqrt(features.var((2, 3)) + 1e-6)], 1)
    np.testing.assert_allclose(channel_statistics(torch.from_numpy(features)), expected)
    tokens = torch.from_numpy(features).flatten(2).transpose(1, 2)
    np.testing.assert_allclose(channel_statistics(tokens), expected)


def test_every_domain_and_class_weighs_alike():
    gathered = _gathered(0)._replace(live=np.arange(40) < 30, domain=(np.arange(40) % 4 == 0).astype(int) * 7)
    share = shares(gathered)
    for domain in (0, 7):
        for live in (True, False):
            assert share[(gathered.domain == domain) & (gathered.live == live)].sum() == pytest.approx(0.25)


def test_simulated_domains_weigh_their_share_of_a_real_one():
    gathered = _gathered(0)
    gathered = gathered._replace(simulated=gathered.domain == 1)
    share = shares(gathered, 0.25)
    assert share.sum() == pytest.approx(1)
    assert share[gathered.domain == 0].sum() == pytest.approx(4 * share[gathered.domain == 1].sum())


def test_every_layer_is_read_in_order():
    config = replace(CONFIG, statistics=(2, 8), every_layer=True)
    detector = Detector(config).eval()
    face = torch.rand(2, 3, 64, 64) * 2 - 1
    features, expected = detector.backbone.normalise(face), []
    for layer in detector.backbone.features:
        features = layer(features)
        expected.append(channel_statistics(features))
    with torch.no_grad():
        torch.testing.assert_close(detector.statistics(face), torch.cat([expected[0], expected[2]], 1))


def test_counting_layers_leaves_batch_norms_alone():
    one, other = Detector(replace(CONFIG, every_layer=True)), Detector(CONFIG)
    for name, value in other.backbone.state_dict().items():
        if "running" in name:
            assert torch.equal(one.backbone.state_dict()[name], value)
    assert one.backbone.training


@pytest.mark.parametrize("insertion", ["none", "dual", "cue"])
def test_learns_and_answers_what_was_fitted(insertion):
    config = replace(CONFIG, insertion=insertion)
    sets = [_gathered(start, counterparts=insertion != "none") for start in (1, 2)]
    detector = fit_probe(config, TRAINING, sets[0])
    logit = logits(detector, sets[1])
    assert logit[sets[1].live].min() > logit[~sets[1].live].max()
    # by hand from the parts: standardise, weigh, add
    numbers = Numbers().read(detector, sets[1])
    norm = detector.standardise
    standard = (numbers - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    by_hand = standard @ detector.embed.weight[0] + detector.embed.bias
    np.testing.assert_allclose(logit, by_hand.detach().numpy(), atol=1e-4)


def test_fits_to_the_same_bits():
    train_set = _gathered(1)
    first, second = (fit_probe(CONFIG, TRAINING, train_set).state_dict() for _ in "ab")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_without_a_cue_the_dual_probe_takes_the_mean_one():
    detector = fit_probe(replace(CONFIG, insertion="dual"), TRAINING, _gathered(1, counterparts=True))
    face = torch.rand(2, 3, 64, 64) * 2 - 1
    numbers = detector.statistics(face)
    half = numbers.shape[1] // 2
    torch.testing.assert_close(numbers[:, half:], detector.standardise.running_mean[half:].expand(2, -1))
    assert torch.isfinite(detector(face).logit).all()


def test_layers_after_the_last_stride_are_left_out():
    whole, cut = Detector(DetectorConfig(backbone="tiny_cnn", insertion="none")), Detector(CONFIG)
    assert len(cut.backbone.features) == 3 < len(whole.backbone.features)
    with pytest.raises(ConfigError, match="no stride 5"):
        Detector(replace(CONFIG, statistics=(5,)))


@pytest.mark.parametrize(
    "change", [{"statistics": ()}, {"insertion": "attention"}, {"insertion": "concat"}, {"embedding": 2}]
)
def test_what_is_no_probe_is_refused(change):
    with pytest.raises(ConfigError, match="preset probe"):
        DetectorRecipe(replace(CONFIG, **change), probe=TRAINING)


def test_one_class_is_refused():
    alone = _gathered(1)._replace(live=np.ones(40, bool))
    with pytest.raises(InputError, match="0 attack"):
        fit_probe(CONFIG, TRAINING, alone)
