"""A head on frozen networks: what it learns from, by what share, and that several stand as one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from despoof.detector.config import PRESETS, PROBE, DetectorRecipe, HeadTraining, OptimiserConfig
from despoof.detector.frozen.head import fit_head, sampling
from despoof.detector.frozen.reading import Numbers, copies
from despoof.detector.network import load_detector
from despoof.detector.recipe import train_recipe
from despoof.detector.scoring import logits
from despoof.errors import ArtefactError, ConfigError, InputError
from toys import content, surrounded, toys

CONFIG = replace(
    PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8), embedding=8, rectified=True,
    dropout=0.1, clamp=6.0, branches=("near",),
)  # fmt: skip
TRAINING = HeadTraining(
    steps=60, batch=32, augmented=1, start="random", released="random",
    optimiser=OptimiserConfig(warmup=5, new_learning_rate=1e-2, weight_decay=0.05),
)  # fmt: skip


def sets(count=32):
    return surrounded(toys(count, 1)), surrounded(toys(24, 2))


def test_learns_and_says_what_its_numbers_say():
    train_set, unseen = sets()
    numbers = Numbers()
    detector = fit_head(CONFIG, TRAINING, train_set, numbers=numbers)
    logit = logits(detector, unseen)
    assert roc_auc_score(unseen.live, logit) > 0.9
    np.testing.assert_allclose(logits(detector, unseen, numbers=numbers), logit, atol=1e-4)
    # by hand: standardise, clamp, hidden layer, ReLU, last layer
    read = numbers.read(detector, unseen).double()
    norm = detector.standardise
    standard = ((read - norm.running_mean) / (norm.running_var + norm.eps).sqrt()).clamp(-6, 6)
    hidden = (standard @ detector.embed.weight.double().T + detector.embed.bias).clamp(min=0)
    by_hand = hidden @ detector.classify.weight.double()[0] + detector.classify.bias
    np.testing.assert_allclose(logit, by_hand.detach(), atol=1e-3)


def test_several_heads_are_one_whose_answer_is_their_mean():
    train_set, unseen = sets()
    numbers = Numbers()
    apart = [
        logits(fit_head(replace(CONFIG, embedding=4), TRAINING, train_set, seed=seed, numbers=numbers), unseen)
        for seed in (0, 1000)
    ]
    # networks that start random must be the same ones: seed 1000 draws others
    both = fit_head(CONFIG, replace(TRAINING, heads=2), train_set, numbers=numbers)
    first = fit_head(replace(CONFIG, embedding=4), TRAINING, train_set, numbers=numbers)
    torch.testing.assert_close(both.embed.weight[:4], first.embed.weight)
    assert not torch.allclose(both.embed.weight[4:], first.embed.weight)
    np.testing.assert_allclose(apart[0], logits(first, unseen))
    halves = []
    for part in (slice(0, 4), slice(4, 8)):
        first.embed.weight.data = both.embed.weight[part]
        first.embed.bias.data = both.embed.bias[part]
        first.classify.weight.data = 2 * both.classify.weight[:, part]
        first.classify.bias.data.zero_()
        halves.append(logits(first, unseen))
    np.testing.assert_allclose(np.mean(halves, 0) + both.classify.bias.item(), logits(both, unseen), atol=1e-4)


def test_standardised_by_shares_over_all_copies():
    train_set = surrounded(toys(24, 1))._replace(domain=np.arange(24) // 20)  # 20 and 4 samples
    numbers = Numbers()
    detector = fit_head(CONFIG, replace(TRAINING, steps=1), train_set, numbers=numbers)
    read = np.stack([numbers.read(detector, train_set, copy) for copy in copies(1, TRAINING.augmentation)])
    weight = np.where(train_set.domain == 0, 1 / 40, 1 / 8)[None, :, None] / 3  # half a domain, half of it a class
    mean = (read * weight).sum((0, 1))
    np.testing.assert_allclose(detector.standardise.running_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        detector.standardise.running_var, ((read - mean) ** 2 * weight).sum((0, 1)), rtol=1e-3, atol=1e-6
    )


def test_dropped_blocks_are_leaned_on_less():
    """Only the surroundings tell; a head that never misses them hears them more than one that mostly does."""
    train_set, unseen = (each._replace(faces=np.full_like(each.faces, 128)) for each in sets())
    told = []
    for share in (0.0, 0.9):
        detector = fit_head(CONFIG, replace(TRAINING, dropped={"near": share}), train_set)
        logit = logits(detector, unseen)
        told.append(logit[unseen.live].mean() - logit[~unseen.live].mean())
    assert told[0] > told[1] > 0


def test_every_group_is_drawn_by_its_share():
    gathered = toys(60, 0)._replace(species=np.array(["none", "print"] * 20 + ["none", "display"] * 10))
    gathered = gathered._replace(domain=np.arange(60) // 30)  # domain 1: print and display
    plain = sampling(gathered, HeadTraining())
    for domain in (0, 1):
        for live in (True, False):
            assert plain[(gathered.domain == domain) & (gathered.live == live)].sum() == pytest.approx(0.25)
    inside = sampling(gathered, HeadTraining(species_balance="domain"))
    prints, displays = gathered.species == "print", gathered.species == "display"
    assert inside[prints & (gathered.domain == 1)].sum() == pytest.approx(0.125)
    assert inside[displays].sum() == pytest.approx(0.125)
    assert inside[prints & (gathered.domain == 0)].sum() == pytest.approx(0.25)
    over = sampling(gathered, HeadTraining(species_balance="all"))
    assert over[displays].sum() == pytest.approx(0.25)
    assert over[prints].sum() == pytest.approx(0.25)
    assert over[gathered.live].sum() == pytest.approx(0.5)


def test_a_recipe_makes_the_same_file_again_and_without_validation_decides_nothing(tmp_path):
    recipe = DetectorRecipe(CONFIG, head=replace(TRAINING, steps=5))
    train_set, validation = sets()
    made = [train_recipe(recipe, train_set, validation, tmp_path / name) for name in "ab"]
    assert content(made[0]) == content(made[1])
    assert (tmp_path / "a/detector.safetensors").read_bytes() == (tmp_path / "b/detector.safetensors").read_bytes()
    assert set(made[0].facts) >= {"temperature", "thresholds", "validation"}
    bare = train_recipe(recipe, train_set, None, tmp_path / "bare")
    read = load_detector(tmp_path / "bare/detector.safetensors")
    assert not {"temperature", "thresholds", "validation"} & set(read.facts)
    assert torch.equal(read.embed.weight, bare.embed.weight)
    with pytest.raises(ArtefactError, match="attack_below"):
        _ = read.thresholds
    other = replace(recipe, head=replace(recipe.head, steps=6))
    with pytest.raises(ArtefactError, match=r"head\.steps was 5, now 6"):
        train_recipe(other, train_set, None, tmp_path / "bare")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"network": replace(CONFIG, embedding=9), "head": replace(TRAINING, heads=2)}, "2 heads with embedding 9"),
        ({"network": replace(CONFIG, rectified=False)}, "rectified False"),
        ({"network": replace(CONFIG, insertion="attention")}, "frozen networks with insertion 'attention'"),
        ({"members": 2}, "members is 2"),
    ],
)
def test_recipes_that_mean_nothing_are_refused(changes, match):
    with pytest.raises(ConfigError, match=match):
        DetectorRecipe(**{"network": CONFIG, "head": TRAINING} | changes)


def test_options_and_sets_that_cannot_be_are_refused():
    for changes in ({"steps": 0}, {"dropped": {"near": 1.0}}, {"average": 1.0}, {"simulated_share": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            replace(TRAINING, **changes)
    with pytest.raises(InputError, match="no surroundings"):
        fit_head(CONFIG, TRAINING, toys(8, 1))
    with pytest.raises(InputError, match="8 live and 0 attack"):
        fit_head(CONFIG, TRAINING, surrounded(toys(8, 1))._replace(live=np.ones(8, bool)))
    assert PRESETS["cameras"].network.uses_surroundings
