"""A recipe: what it refuses, who learns from what, that the file is calibrated on the set that decides, and figures
counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import despoof.detector.recipe as module
from despoof.cli.app import build_app
from despoof.cli.options import chosen as configured
from despoof.data.sample import Label, Sample
from despoof.detector.backbones import BACKBONES
from despoof.detector.backbones.backbone import Backbone, ReleasedFile
from despoof.detector.backbones.mobilenet import tiny_cnn
from despoof.detector.batches import Gathered, chosen, gather, without_simulated
from despoof.detector.config import PRESETS, PROBE, TINY, TINY_TRAINING, DetectorRecipe, ProbeTraining
from despoof.detector.network import Detector, load_detector
from despoof.detector.recipe import figures, fitted, identity, merged, thresholds, train_on_store, train_recipe
from despoof.detector.scoring import fit_calibration, logits, scores
from despoof.detector.techniques import TECHNIQUES
from despoof.detector.techniques.ssdg import SsdgOptions
from despoof.detector.techniques.technique import Technique, Term
from despoof.detector.train import train
from despoof.errors import ArtefactError, ConfigError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.faces.store import Store, StoredSample
from despoof.metrics import bpcer_at_apcer
from despoof.runs.folder import write_json
from toys import around, content, learning, toys

BRIEF = DetectorRecipe(replace(TINY, insertion="none"), replace(TINY_TRAINING, steps=2))
SMALL_PROBE = replace(PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8))


def simulated(start: int) -> Gathered:
    """Return toys of which one domain of three is simulated."""
    gathered = toys(24, start)
    domain = np.arange(24) // 2 % 3
    return gathered._replace(domain=domain, simulated=domain == 2)


# What can be chosen


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_preset_starts_on_every_backbone(preset, backbone):
    recipe = configured(PRESETS, preset, None, {"network": {"backbone": backbone}}, fitted)
    config = recipe.network
    with torch.device("meta"):
        detector = Detector(config).eval()
        picture = torch.zeros(2, 3, config.face_size, config.face_size)
        output = detector(picture, picture if config.uses_cue else None)
    assert output.logit.shape == (2,)
    assert output.embedding.shape == (2, config.embedding)
    strides = {stage.stride for stage in detector.backbone.stages}
    assert set(config.attention_strides) <= strides
    if config.statistics:  # judged as deep as before, or where the first stage lies
        assert max(strides) == max(config.statistics) <= 16


def test_strides_that_are_named_are_kept_and_what_cannot_be_built_refused():
    named = {"backbone": "resnet18", "statistics": [4], "attention_strides": [4]}
    assert configured(PRESETS, "texture", None, {"network": named}, fitted).network.statistics == (4,)
    wrong = configured(PRESETS, "texture", None, {"network": named | {"statistics": [2]}}, fitted)
    deep = configured(PRESETS, "texture", None, {"training": {"frozen_stages": 9}}, fitted)
    other = configured(PRESETS, "texture", None, {"training": {"optimiser": {"name": "magic"}}}, fitted)
    for recipe, match in ((wrong, "no stride 2"), (deep, "frozen_stages is 9"), (other, "one of adamw, sgd")):
        with pytest.raises(ConfigError, match=match):
            identity(recipe, 0, None)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"members": 2, "network": PROBE, "probe": ProbeTraining()}, "members is 2 and real_members 0"),
        ({"members": 0, "training": TINY_TRAINING}, "at least one"),
        ({}, "expected one"),
        ({"training": TINY_TRAINING, "probe": ProbeTraining()}, "expected one"),
    ],
)
def test_recipes_that_mean_nothing_are_refused(values, match):
    with pytest.raises(ConfigError, match=match):
        DetectorRecipe(**values)


def test_a_technique_that_is_registered_is_chosen_by_its_name_with_options_of_its_own(tmp_path, monkeypatch):
    class Pulled(Technique):
        Options = SsdgOptions

        def forward(self, output, live, domain, step):
            return {"margin": Term(output.logit.square().mean(), self.setting.options.margin)}

    monkeypatch.setitem(TECHNIQUES, "pulled", Pulled)
    flags = {"training": {"steps": 1, "technique": {"name": "pulled", "options": {"margin": 0.5}}}}
    found = train_recipe(configured(PRESETS, "tiny", None, flags, fitted), toys(16, 1), toys(16, 2), tmp_path)
    assert found.facts["identity"]["config"]["training"]["technique"]["options"]["margin"] == 0.5


def test_a_cue_form_that_is_registered_can_be_chosen_trained_and_loaded(tmp_path, monkeypatch):
    from despoof.cue import CUE_FORMS

    with pytest.raises(ConfigError, match="cue_form is 'squared'; expected one of standardised, signed, absolute"):
        replace(TINY, cue_form="squared")
    monkeypatch.setitem(CUE_FORMS, "squared", lambda face, counterpart: (face - counterpart).square())
    flags = {"network": {"cue_form": "squared"}, "training": {"steps": 1}}
    recipe = configured(PRESETS, "tiny", None, flags, fitted)
    train_recipe(recipe, toys(16, 1), toys(16, 2), tmp_path)
    assert load_detector(tmp_path / "detector.safetensors").config.cue_form == "squared"


# What is made


def test_without_simulated_keeps_the_real_rows_in_order():
    gathered = simulated(1)
    real = without_simulated(gathered)
    kept = [i for i in range(24) if gathered.domain[i] != 2]
    assert real.keys == [gathered.keys[i] for i in kept]
    assert np.array_equal(real.faces, gathered.faces[kept])
    assert np.array_equal(real.live, gathered.live[kept])
    assert not real.simulated.any()
    assert without_simulated(real) is real


def test_members_differ_in_batches_alone_and_all_weigh_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen, made = [], []

    def watched(config, training, train_set, validation, folder, **options):
        seen.append((Path(folder).name, options["seed"], options["start_seed"], sorted(set(train_set.domain.tolist()))))
        made.append(train(config, training, train_set, validation, folder, **options))
        return made[-1]

    monkeypatch.setattr(module, "train", watched)
    found = train_recipe(replace(BRIEF, members=2, real_members=1), simulated(1), simulated(2), tmp_path, seed=5)
    assert seen == [
        ("member-0", 5, 5, [0, 1, 2]),
        ("member-1", 1005, 5, [0, 1, 2]),
        ("real-member-0", 2005, 5, [0, 1]),
    ]
    states = [member.state_dict() for member in made]
    for name, value in found.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, torch.stack([state[name] for state in states]).mean(0))
    assert found.facts["members"] == [5, 1005, 2005]


def test_runs_of_one_start_seed_begin_alike(tmp_path):
    still = replace(TINY_TRAINING, steps=1, optimiser=replace(TINY_TRAINING.optimiser, new_learning_rate=0.0))
    starts = []
    for seed, start in ((0, 7), (1, 7), (1, None)):
        sets = toys(16, 1), toys(16, 2)
        made = train(TINY, still, *sets, tmp_path / f"{seed}-{start}", seed=seed, start_seed=start)
        starts.append(made.embed.weight)
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_the_mean_of_weights_judges_well(tmp_path):
    sets, unseen = (toys(40, 1), toys(24, 2)), toys(40, 3)
    runs = [train(TINY, learning(steps=20), *sets, tmp_path / str(k), seed=k, start_seed=7) for k in (0, 1)]
    assert roc_auc_score(unseen.live, logits(merged(runs), unseen)) > 0.9


def test_what_is_written_is_calibrated_on_the_set_that_decides_and_figures_are_of_real_captures(tmp_path):
    train_set, validation = simulated(1), simulated(2)
    found = train_recipe(BRIEF, train_set, validation, tmp_path)
    read = load_detector(tmp_path / "detector.safetensors")
    assert read.facts == found.facts
    assert (read.temperature, read.offset) == fit_calibration(logits(read, validation), validation.live)
    assert read.facts["thresholds"] == pytest.approx(thresholds(scores(read, validation), validation))
    assert read.facts["validation"]["live"] == 8  # of 12, without those of the simulated domain
    real = without_simulated(validation)
    assert read.facts["validation_auc"] == pytest.approx(roc_auc_score(real.live, logits(read, real)))


@pytest.mark.parametrize("recipe", [BRIEF, DetectorRecipe(SMALL_PROBE, probe=ProbeTraining(start="random"))])
def test_a_recipe_makes_the_same_file_again(recipe, tmp_path):
    for name in "ab":
        train_recipe(recipe, toys(16, 1), toys(16, 2), tmp_path / name)
    files = [(tmp_path / name / "detector.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "recipe", [replace(BRIEF, members=2), DetectorRecipe(SMALL_PROBE, probe=ProbeTraining(start="random"))]
)
def test_a_folder_is_of_one_run(recipe, tmp_path):
    sets = toys(16, 1), toys(16, 2)
    first = train_recipe(recipe, *sets, tmp_path)
    assert content(train_recipe(recipe, *sets, tmp_path)) == content(first)
    with pytest.raises(ArtefactError, match="seed was 0, now 1"):
        train_recipe(recipe, *sets, tmp_path, seed=1)


# What a run is a run of


def test_identity_names_generator_step_data_and_start(tmp_path):
    recipe = replace(BRIEF, network=TINY)
    for name, step in (("one", 401), ("two", 401), ("later", 801)):
        about = {"generator": "aa" if name != "two" else "bb", "start_step": step, "salt": 0, "size": 64}
        write_json(tmp_path / name / "about.json", about)
    found = {name: identity(recipe, 0, tmp_path / name) for name in ("one", "two", "later")}
    assert found["one"].parents == {"generator": "aa", "start_step": "401", "salt": "0"}
    assert len({each.label for each in found.values()}) == 3
    train_recipe(recipe, toys(16, 1), toys(16, 2), tmp_path / "run", counterparts=tmp_path / "one")
    facts = load_detector(tmp_path / "run" / "detector.safetensors").facts
    assert facts["identity"]["parents"]["generator"] == "aa"
    assert facts["identity"]["data"]
    assert "commit" in facts
    for other, sets in (("two", (toys(16, 1), toys(16, 2))), ("one", (toys(16, 4), toys(16, 2)))):
        with pytest.raises(ArtefactError, match="generator" if other == "two" else "data"):
            train_recipe(recipe, *sets, tmp_path / "run", counterparts=tmp_path / other)


def test_another_start_is_another_run(tmp_path, monkeypatch):
    def small() -> Backbone:
        plain = tiny_cnn()
        plain.released = ReleasedFile(dict)
        return plain

    monkeypatch.setitem(BACKBONES, "tiny_cnn", small)
    recipes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(tiny_cnn().features.state_dict(), tmp_path / f"{seed}.pth")
        flags = {"training": {"steps": 1, "start": str(tmp_path / f"{seed}.pth"), "frozen_stages": 2}}
        recipes.append(configured(PRESETS, "tiny", None, flags, fitted))
    parents = [identity(recipe, 0, None).parents for recipe in recipes]
    assert parents[0] != parents[1]
    sets = toys(16, 1), toys(16, 2)
    found = train_recipe(recipes[0], *sets, tmp_path / "run")
    assert found.facts["identity"]["parents"] == parents[0]
    torch.manual_seed(0)
    assert torch.equal(found.backbone.first.weight.cpu(), tiny_cnn().first.weight)  # frozen, as it was loaded
    with pytest.raises(ArtefactError, match=r"parents\.start"):
        train_recipe(recipes[1], *sets, tmp_path / "run")
    (tmp_path / "moved.pth").write_bytes((tmp_path / "0.pth").read_bytes())
    moved = replace(recipes[0], training=replace(recipes[0].training, start=str(tmp_path / "moved.pth")))
    assert identity(moved, 0, None) == identity(recipes[0], 0, None)  # weights count, not where they lie


def test_a_store_is_split_by_people_and_said_by_its_rows(tmp_path, monkeypatch):
    store = Store(tmp_path / "store", about={})
    rng = np.random.default_rng(0)
    for i in range(48):
        label, species = (Label.LIVE, "none") if i % 2 else (Label.ATTACK, "print")
        sample = Sample(f"{i}.png", label, species, f"s{i // 4}", "ab"[i // 24], simulated=i >= 24)
        face = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        store.add(StoredSample(sample, "face"), face, around(face))
    whole = gather(store, store.rows, BRIEF.network, None)
    assert whole.faces.shape == (48, 64, 64, 3)
    assert whole.simulated.tolist() == [i >= 24 for i in range(48)]
    assert set(whole.species[~whole.live]) == {"print"}
    given = []
    monkeypatch.setattr(module, "train_recipe", lambda recipe, *sets, **options: given.extend(sets[:2]))
    train_on_store(BRIEF, store, None, tmp_path / "run")
    people = [{key_to_subject(store)[key] for key in part.keys} for part in given]  # noqa: SIM118
    assert not people[0] & people[1]
    assert len(given[0].keys) + len(given[1].keys) == 48
    picks = [whole.keys.index(key) for key in given[0].keys]
    assert np.array_equal(chosen(whole, np.array(picks)).faces, given[0].faces)


def test_the_command_takes_a_preset_and_any_field(tmp_path):
    store = Store(tmp_path / "store", about={})
    rng = np.random.default_rng(0)
    for i in range(32):
        label, species = (Label.LIVE, "none") if i % 2 else (Label.ATTACK, "print")
        sample = Sample(f"{i}.png", label, species, f"s{i // 4}", "ab"[i // 16])
        face = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        store.add(StoredSample(sample, "face"), face, around(face))
    network = ["--network.backbone", "tiny_cnn", "--network.face-size", 64, "--network.insertion", "none"]
    options = ["--preset", "probe", *network, "--probe.start", "random", "--probe.penalty", 0.5, "--threads", 1]
    command = ["train", "detector", tmp_path / "store", tmp_path / "none", tmp_path / "run", *options]
    build_app()([str(part) for part in command], result_action="return_value")
    found = load_detector(tmp_path / "run/detector.safetensors")
    assert found.config.statistics == (2, 4, 8, 16)
    assert found.facts["identity"]["config"]["probe"]["penalty"] == 0.5
    assert set(found.facts) >= {"temperature", "offset", "thresholds", "validation", "commit", "versions"}


def key_to_subject(store: Store) -> dict[str, str]:
    return {row.key: row.sample.subject for row in store.rows}


# The points that ship, counted by hand: a threshold from the wrong rows opens the door to what they do not show.

LIVENESS = np.array([*np.linspace(0.5, 0.99, 50), *np.linspace(0.01, 0.6, 60)])


def rows(*species: str) -> Gathered:
    live = np.arange(110) < 50
    names = ["none"] * 50 + [species[i % len(species)] for i in range(60)]
    return Gathered(np.empty(0), None, live, np.arange(110) % 2, [str(i) for i in range(110)], None, np.array(names))


def test_live_begins_at_equal_error_and_attack_ends_where_one_in_twenty_live_is_lost():
    limits = thresholds(LIVENESS, rows("print"))
    live, attack = LIVENESS[:50], LIVENESS[50:]
    refused, passed = np.mean(live < limits["live_from"]), np.mean(attack >= limits["live_from"])
    assert abs(refused - passed) <= 1 / 50
    assert np.mean(live < limits["attack_below"]) == pytest.approx(2 / 50)  # 2.5 of 50 may be lost
    assert limits["attack_below"] < limits["live_from"]


def test_figures_are_of_their_rows_at_the_thresholds_given():
    found = figures(LIVENESS, rows("print"), {"attack_below": 0.1, "live_from": 0.75})
    assert (found["live"], found["attack"]) == (50, 60)
    assert found["bpcer_at_live_from"]["low"] < np.mean(LIVENESS[:50] < 0.75) < found["bpcer_at_live_from"]["high"]
    assert found["apcer_pooled_at_live_from"]["low"] == 0  # no attack reaches .75
    pairs = LIVENESS[:50, None] - LIVENESS[None, 50:]
    assert found["auc"] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert found["bpcer_at_apcer_0.1"]["threshold"] == pytest.approx(np.sort(LIVENESS[50:])[-6], abs=0.011)


def test_cards_and_score_files_mean_the_same_by_species():
    # one attack of a small domain passes: alone in its domain it would be an APCER of 1, pooled it is one of 30
    gathered = rows("print", "replay")
    written = tuple(
        ScoreRow(
            str(i), "s", f"d{gathered.domain[i]}", Label.LIVE if i < 50 else Label.ATTACK, str(gathered.species[i]), x
        )
        for i, x in enumerate(LIVENESS)
    )
    facts = {"protocol": "p", "cell": "c", "model": "m", "seed": 0, "split": "test", "thresholds": {}}
    attacks = ScoreFile(written, facts).attacks()
    assert {name: len(values) for name, values in attacks.items()} == {"print": 30, "replay": 30}
    for share in (0.1, 0.05, 0.01):
        expected = bpcer_at_apcer(LIVENESS[:50], attacks, share)
        told = figures(LIVENESS, gathered, {"live_from": 0.5})[f"bpcer_at_apcer_{share:g}"]
        assert (told["threshold"], told["apcer"], told["bpcer"]) == (expected.threshold, expected.apcer, expected.bpcer)
