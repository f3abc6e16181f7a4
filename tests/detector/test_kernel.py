"""Kernel ridge regression on frozen networks: against scikit-learn's, and what the detector then answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import roc_auc_score

from despoof.detector.config import PRESETS, PROBE, DetectorRecipe, HeadTraining, KernelTraining
from despoof.detector.frozen.kernel import CERTAIN, fit_kernel, thinned
from despoof.detector.frozen.reading import Copy, Numbers
from despoof.detector.network import Detector, load_detector
from despoof.detector.recipe import train_recipe
from despoof.detector.scoring import logits
from despoof.errors import ConfigError
from toys import content, surrounded, toys

CONFIG = replace(
    PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8), embedding=200, clamp=6.0,
    branches=("near",), kernel=1000,
)  # fmt: skip
TRAINING = KernelTraining(start="random", released="random", weights={"near": 0.5}, augmented=0, ridge=0.1)


def sets(count=32):
    return surrounded(toys(count, 1)), surrounded(toys(24, 2))


def scaled(detector, numbers, training=TRAINING):
    """By hand: standardised, clamped; a block's squared distance is a mean over its numbers, times its share."""
    norm = detector.standardise
    standard = ((numbers - norm.running_mean) / (norm.running_var + norm.eps).sqrt()).clamp(-6, 6).double().numpy()
    scale = np.ones(standard.shape[1])
    for name, block in detector.blocks.items():
        weight = training.weights.get(name, 1.0) / 1.5
        scale[block] = np.sqrt(training.width * weight / (block.stop - block.start))
    return standard * scale


def test_answers_as_scikit_learn_on_all_components():
    train_set, unseen = sets()
    numbers = Numbers()
    detector = fit_kernel(CONFIG, TRAINING, train_set, numbers=numbers)
    assert detector.config.kernel == 32
    assert detector.config.embedding == 31
    learned, asked = (scaled(detector, numbers.read(detector, each)) for each in (train_set, unseen))
    # every domain and class has 8 of 32; sklearn: (W K + alpha I) c = W y
    share = np.full(32, 1 / 32)
    other = KernelRidge(alpha=0.1 / 32, kernel="rbf", gamma=1.0)
    other.fit(learned, np.where(train_set.live, 1.0, -1.0), sample_weight=share)
    # 31 components hold the 32 samples whole, and of another one the length beside them: all distances are exact
    np.testing.assert_allclose(logits(detector, unseen), CERTAIN * other.predict(asked), atol=2e-2)
    assert roc_auc_score(unseen.live, logits(detector, unseen)) > 0.9


def test_fewer_components_keep_most_of_the_distances():
    train_set, _ = sets()
    numbers = Numbers()
    detector = fit_kernel(replace(CONFIG, embedding=20), TRAINING, train_set, numbers=numbers)
    learned = scaled(detector, numbers.read(detector, train_set))
    whole = ((learned[:, None] - learned) ** 2).sum(2)
    centres, beside = detector.nearness.centres, detector.nearness.beside
    kept = ((centres[:, None] - centres) ** 2).sum(2).numpy()
    assert (kept <= whole + 1e-4).all()
    assert kept.sum() > 0.9 * whole.sum()
    apart = ~np.eye(32, dtype=bool)
    lost = np.abs(whole - kept)[apart].mean()
    assert np.abs(whole - kept - (beside[:, None] + beside).numpy())[apart].mean() < 0.5 * lost


def test_what_is_unlike_all_that_was_learned_is_near_to_nothing():
    train_set, _ = sets()
    numbers = Numbers()
    detector = fit_kernel(replace(CONFIG, embedding=4), TRAINING, train_set, numbers=numbers)
    learned = detector.standard(numbers.read(detector, train_set))
    strange = learned + 6 * torch.randn(learned.shape, generator=torch.Generator().manual_seed(0))
    answer = detector._head(strange).logit
    torch.testing.assert_close(answer, detector.classify.bias.expand(32), atol=0.3, rtol=0)
    assert (detector._head(learned).logit - detector.classify.bias).abs().mean() > 1


def test_changed_copies_are_learned_from_and_the_centres_are_originals():
    train_set, unseen = sets()
    numbers = Numbers()
    detector = fit_kernel(CONFIG, replace(TRAINING, augmented=2), train_set, numbers=numbers)
    assert detector.config.kernel == 32
    own = torch.from_numpy(scaled(detector, numbers.read(detector, train_set)))
    centres = detector.nearness.centres.double()
    kept = torch.cdist(centres, centres)
    torch.testing.assert_close(kept, torch.cdist(own, own), atol=1e-3, rtol=1e-3)
    # by hand: least squares over the three copies
    rows = np.concatenate([
        scaled(detector, numbers.read(detector, train_set, Copy(number, TRAINING.augmentation))) for number in (0, 2, 3)
    ])  # fmt: skip
    near = np.exp(-((rows[:, None] - own.numpy()) ** 2).sum(2))
    inside = near[:32]
    target = np.tile(np.where(train_set.live, 1.0, -1.0), 3)
    found = np.linalg.solve(near.T @ near / 96 + 0.1 / 32 * inside + 1e-9 * np.eye(32), near.T @ target / 96)
    np.testing.assert_allclose(detector.classify.weight[0].detach() / CERTAIN, found, atol=1e-3)


def test_the_least_of_two_judges_counts_and_each_is_as_if_fitted_alone():
    train_set, unseen = sets()
    numbers = Numbers()
    found = {
        judges: logits(fit_kernel(replace(CONFIG, judges=judges), TRAINING, train_set, numbers=numbers), unseen)
        for judges in (("all",), ("face",), ("around",), ("all", "face"), ())
    }
    np.testing.assert_allclose(found["all",], found[()], atol=1e-3)
    assert 0 < (found["face",] < found["all",]).sum() < len(unseen.keys)
    np.testing.assert_allclose(found["all", "face"], np.minimum(found["all",], found["face",]), atol=1e-6)
    fitted = fit_kernel(replace(CONFIG, judges=("face",)), TRAINING, train_set, numbers=numbers)
    strange = unseen._replace(surroundings=255 - unseen.surroundings)
    np.testing.assert_allclose(logits(fitted, strange), found["face",], atol=1e-5)
    around = fit_kernel(replace(CONFIG, judges=("around",)), TRAINING, train_set, numbers=numbers)
    assert np.abs(logits(around, strange) - found["around",]).max() > 0.1


def test_thinned_evenly_within_every_camera_class_and_species():
    gathered = toys(80, 0)._replace(domain=np.arange(80) // 60)
    kept = thinned(gathered, 10, 1000)
    assert (np.diff(kept) > 0).all()
    for domain, live in ((0, True), (0, False)):
        group = np.flatnonzero((gathered.domain == domain) & (gathered.live == live))
        inside = np.searchsorted(group, np.intersect1d(group, kept))
        assert inside.tolist() == [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]
    assert len(kept) == 40
    assert len(thinned(gathered, 10, 17)) == 16  # four of each
    assert len(thinned(gathered, 100, 1000)) == 80
    told = gathered._replace(species=np.where(gathered.live, "none", np.where(np.arange(80) % 4 == 1, "print", "mask")))
    assert len(thinned(told, 5, 1000)) == 5 * 6


def test_a_recipe_makes_the_same_file_and_it_is_read_again(tmp_path):
    recipe = DetectorRecipe(CONFIG, kernel=TRAINING)
    train_set, validation = sets()
    made = [train_recipe(recipe, train_set, validation, tmp_path / name) for name in "ab"]
    assert content(made[0]) == content(made[1])
    read = load_detector(tmp_path / "a/detector.safetensors")
    assert read.config.kernel == 32
    np.testing.assert_allclose(logits(read, validation), logits(made[0], validation), atol=1e-4)
    assert read.temperature >= 1
    liveness = read.calibrated(torch.from_numpy(logits(read, validation))).numpy()
    assert np.ptp(liveness) > 0.5  # a calibration that never sharpens must not be left near one half


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: DetectorRecipe(replace(CONFIG, kernel=0), kernel=TRAINING), "network.kernel is 0 with a kernel"),
        (lambda: DetectorRecipe(CONFIG, head=HeadTraining()), "without a kernel"),
        (lambda: replace(CONFIG, rectified=True), "a kernel with rectified True"),
        (lambda: replace(CONFIG, judges=("hands",)), "judge 'hands'"),
        (lambda: Detector(replace(CONFIG, branches=(), judges=("around",))), "hears none"),
        (lambda: replace(TRAINING, ridge=0.0), "ridge is 0.0"),
        (lambda: replace(TRAINING, weights={"near": 0.0}), "above 0"),
    ],
)
def test_what_cannot_be_is_refused(build, match):
    with pytest.raises(ConfigError, match=match):
        build()


def test_the_preset_starts():
    recipe = PRESETS["kernel"]
    both = replace(recipe.network, branches=("minifasnet_v2", "minifasnet_v1se"))  # which of them are read is a choice
    with torch.device("meta"):
        detector, whole = Detector(recipe.network), Detector(both)
    assert set(recipe.kernel.weights) < set(whole.parts)
    assert list(detector.blocks) == ["face", "minifasnet_v1se"]
