"""Training end to end on toy faces: it must learn, resume bit for bit, and select on source validation only."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from despoof.detector import train as module
from despoof.detector.batches import Gathered
from despoof.detector.config import (
    TINY,
    TINY_TRAINING,
    DetectorConfig,
    DetectorTraining,
    OptimiserConfig,
    TechniqueConfig,
)
from despoof.detector.network import Detector
from despoof.detector.scoring import fit_calibration, logits, scores
from despoof.detector.techniques import TECHNIQUES
from despoof.detector.train import train
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.runs.folder import LOCK
from toys import content, learning, toys


def pretrained(monkeypatch: pytest.MonkeyPatch, **changes) -> DetectorTraining:
    """Return a training with two frozen stages, which are taken for pretrained."""
    monkeypatch.setattr(module, "started", lambda config, start: Detector(config))
    monkeypatch.setattr(module, "start_hash", lambda config, start: {})
    return replace(TINY_TRAINING, start="imagenet", frozen_stages=2, **changes)


@pytest.fixture(scope="module")
def sets() -> tuple[Gathered, Gathered]:
    return toys(40, 1), toys(24, 2)


@pytest.mark.parametrize("insertion", ["attention", "none", "dual"])
def test_learns_what_can_be_learned(sets, tmp_path, insertion):
    detector = train(replace(TINY, insertion=insertion), learning(), *sets, tmp_path)
    liveness = scores(detector, toys(30, 3))
    live = toys(30, 3).live
    assert roc_auc_score(live, liveness) > 0.9  # live scores higher, on samples of neither set
    assert ((liveness >= 0) & (liveness <= 1)).all()


@pytest.mark.parametrize("technique", [name for name in TECHNIQUES if name != "ssdg"])
def test_every_technique_learns(sets, tmp_path, technique):
    insertion = "none" if technique == "dann" else "attention"  # a technique sees logit and embedding alone
    training = learning(technique=TechniqueConfig(technique), style_mixing=0.3)
    detector = train(replace(TINY, insertion=insertion), training, *sets, tmp_path)
    assert roc_auc_score(toys(30, 3).live, scores(detector, toys(30, 3))) > 0.85


def test_an_unknown_technique_or_optimiser_is_named(sets, tmp_path):
    with pytest.raises(ConfigError, match="'magic'; expected one of erm, ssdg"):
        train(TINY, replace(TINY_TRAINING, technique=TechniqueConfig("magic")), *sets, tmp_path)
    with pytest.raises(ConfigError, match="'magic'; expected one of adamw, sgd"):
        train(TINY, replace(TINY_TRAINING, optimiser=OptimiserConfig("magic")), *sets, tmp_path)


@pytest.mark.parametrize("technique", ["ssdg", "safas"])
def test_a_killed_run_goes_on_bit_for_bit(sets, tmp_path, monkeypatch, technique):
    asked = replace(TINY_TRAINING, technique=TechniqueConfig(technique), style_mixing=0.5)
    whole = train(TINY, asked, *sets, tmp_path / "whole")
    real = module.make_batch

    def killed(*args, **shared):
        if args[-1] == 4:
            raise KeyboardInterrupt
        return real(*args, **shared)

    monkeypatch.setattr(module, "make_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, asked, *sets, tmp_path / "cut")
    monkeypatch.setattr(module, "make_batch", real)
    torch.manual_seed(999)  # nothing may hang on the process's own random numbers
    assert content(train(TINY, asked, *sets, tmp_path / "cut")) == content(whole)
    lines = [(tmp_path / run / "log.jsonl").read_text().splitlines() for run in ("whole", "cut")]
    without_time = [[json.loads(line) | {"seconds": 0} for line in run] for run in lines]
    assert without_time[0] == without_time[1]
    assert [line["step"] for line in without_time[0]] == [1, 2, 3, 4, 5, 6]
    states = [torch.load(tmp_path / run / "state.pt", weights_only=True)["parts"] for run in ("whole", "cut")]
    for name, tensor in states[0]["detector"].items():
        assert torch.equal(tensor, states[1]["detector"][name]), name


def test_a_finished_run_is_not_trained_again_and_another_is_refused(sets, tmp_path, monkeypatch):
    before = content(train(TINY, TINY_TRAINING, *sets, tmp_path))
    monkeypatch.setattr(module, "make_batch", len)  # a further step would fail
    assert content(train(TINY, TINY_TRAINING, *sets, tmp_path)) == before
    with pytest.raises(ArtefactError, match="holds another run"):
        train(TINY, TINY_TRAINING, *sets, tmp_path, seed=1)
    with pytest.raises(ArtefactError, match="generator"):
        train(TINY, TINY_TRAINING, *sets, tmp_path, parents={"generator": "another"})
    other = sets[0]._replace(counterparts=sets[0].faces)
    with pytest.raises(ArtefactError, match="holds another run"):
        train(TINY, TINY_TRAINING, other, sets[1], tmp_path)


def test_the_best_validation_step_is_kept_or_the_last(sets, tmp_path, monkeypatch):
    told = {"best": iter([0.9, 0.7]), "last": iter([0.9, 0.7])}
    made = {}
    for name, selection in (("best", "validation"), ("last", "last")):
        monkeypatch.setattr(module, "validation_auc", lambda *_, name=name: next(told[name]))
        made[name] = train(TINY, replace(TINY_TRAINING, selection=selection), *sets, tmp_path / name)
        facts = made[name].facts
        assert (facts["step"], facts["validation_auc"]) == ((3, 0.9) if name == "best" else (6, 0.7))
    assert content(made["best"])[1] != content(made["last"])[1]
    again = train(TINY, replace(TINY_TRAINING, selection="validation"), *sets, tmp_path / "best")
    assert content(again) == content(made["best"])  # from the state alone


def test_logged_validation_auc_is_sklearns(sets, tmp_path):
    detector = train(TINY, replace(TINY_TRAINING, selection="last"), *sets, tmp_path)
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["validation_auc"] == pytest.approx(roc_auc_score(sets[1].live, logits(detector, sets[1])), abs=1e-6)


def test_frozen_stages_do_not_move(sets, tmp_path, monkeypatch):
    training = pretrained(monkeypatch)
    start = start_of(TINY).state_dict()
    end = train(TINY, training, *sets, tmp_path).state_dict()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert not [name for name in moved if name.startswith(("backbone.features.0.", "backbone.features.1."))]
    assert "backbone.features.2.0.weight" in moved
    assert "backbone.features.2.1.running_mean" in moved


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_frozen_stages_hear_the_cue_by_concat_and_keep_the_face(sets, tmp_path, monkeypatch, optimiser):
    config = replace(TINY, insertion="concat")
    training = pretrained(monkeypatch, optimiser=OptimiserConfig(optimiser, warmup=2, weight_decay=0.1))
    start = start_of(config).backbone.first.weight
    detector = train(config, training, *sets, tmp_path)
    weight = detector.backbone.first.weight
    assert torch.equal(weight[:, :3], start[:, :3])
    assert (weight[:, 3:] != 0).any()
    face, cue = torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 3, 64, 64)
    assert not torch.equal(detector(face, cue).logit, detector(face, cue.flip(0)).logit)
    assert torch.equal(detector.backbone.features[1][0].weight, start_of(config).backbone.features[1][0].weight)


def start_of(config: DetectorConfig) -> Detector:
    torch.manual_seed(0)
    return Detector(config)


def test_scores_depend_on_neither_batch_nor_mode_and_keep_the_mode(sets):
    torch.manual_seed(0)
    detector = Detector(TINY).train()
    detector.backbone.eval()
    together, apart = scores(detector, sets[1]), scores(detector, sets[1], batch=5)
    np.testing.assert_allclose(together, apart, atol=1e-6)
    assert detector.training
    assert not detector.backbone.training
    by_hand = torch.sigmoid(torch.from_numpy(logits(detector, sets[1]))).numpy()
    np.testing.assert_allclose(together, by_hand)
    detector.facts |= {"temperature": 3.0, "offset": 0.5}
    tempered = scores(detector, sets[1])
    np.testing.assert_allclose(3 * np.log(tempered / (1 - tempered)) + 0.5, logits(detector, sets[1]))


def test_calibration_finds_the_one_that_was_used():
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 8_000)
    live = rng.random(8_000) < 1 / (1 + np.exp(-honest))
    assert fit_calibration(honest * 3 + 2, live) == (pytest.approx(3, rel=0.08), pytest.approx(2, abs=0.2))
    temperature, _ = fit_calibration(honest * 0.5, live)
    assert temperature == pytest.approx(1)  # never more certain than it was
    line = LogisticRegression(C=1e9, class_weight="balanced", tol=1e-10).fit(honest[:, None] * 3 + 2, live)
    temperature, offset = fit_calibration(honest * 3 + 2, live)
    assert temperature == pytest.approx(1 / line.coef_[0, 0], rel=1e-3)
    assert offset == pytest.approx(-line.intercept_[0] / line.coef_[0, 0], rel=1e-3, abs=1e-3)


def test_impossible_runs_are_refused_before_any_work(sets, tmp_path):
    one_class = sets[1]._replace(live=np.ones(24, bool))
    with pytest.raises(InputError, match="validation set has 24 live and 0 attack"):
        train(TINY, TINY_TRAINING, sets[0], one_class, tmp_path)
    with pytest.raises(InputError, match="in training and validation"):
        train(TINY, TINY_TRAINING, sets[0], sets[0], tmp_path)
    with pytest.raises(ConfigError, match="without released weights"):
        train(TINY, replace(TINY_TRAINING, start="imagenet"), *sets, tmp_path)
    with pytest.raises(ConfigError, match="frozen_stages"):
        replace(TINY_TRAINING, frozen_stages=1)
    assert {path.name for path in tmp_path.iterdir()} <= {LOCK}
