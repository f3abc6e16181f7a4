"""Thresholds counted by hand, and a whole calibration on a real guard: a threshold one place off refuses one person
more, or lets attacks in."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

import despoof
from despoof.calibration import Presented, Shown, calibrate, needed, present
from despoof.cli.app import build_app
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.engine.by_torch import TorchEngine
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.pipeline import Guard
from despoof.profile import read_profile
from despoof.verdict import Decision, decide


def guard(low: float = 0.3, high: float = 0.6) -> SimpleNamespace:
    engine = SimpleNamespace(facts={"thresholds": {"attack_below": low, "live_from": high}}, precision="float32")
    rest = {"weights": {"detector": "ab"}, "preprocessing": {"face_size": 256}, "engine_name": "torch"}
    return SimpleNamespace(engine=engine, **rest)


def shown(*liveness: float) -> Presented:
    return Presented(photos=Shown(np.array(liveness)))


def test_the_threshold_is_the_highest_that_refuses_at_most_the_wanted_share():
    live = shown(*np.linspace(0.41, 0.8, 40))  # 0.41, 0.42, ... 0.80
    for bpcer, refused in ((0.05, 2), (0.1, 4), (0.01, 0), (0.074, 2), (0.075, 3)):
        profile, _ = calibrate(guard(), live, bpcer=bpcer)
        point = profile.photos
        assert point.bpcer.errors == refused
        assert point.live_from == pytest.approx(0.41 + 0.01 * refused)
        assert np.mean(live.photos.liveness < point.live_from + 1e-9) > bpcer  # a higher one would refuse too many
        assert point.attack_below == 0.3


def test_equal_scores_are_refused_together_or_not_at_all():
    profile, _ = calibrate(guard(), shown(*[0.5] * 10, *[0.9] * 10), bpcer=0.25)
    assert (profile.photos.live_from, profile.photos.bpcer.errors) == (0.5, 0)


def test_rates_carry_scipys_exact_interval():
    attacks = {"print": shown(*[0.1] * 9, 0.99), "mask": shown(0.05)}
    profile, warnings = calibrate(guard(), shown(*np.linspace(0.5, 0.9, 60)), attacks, bpcer=0.05)
    bpcer, apcer = profile.photos.bpcer, profile.photos.apcer
    exact = binomtest(bpcer.errors, 60).proportion_ci(method="exact")
    assert (bpcer.low, bpcer.high) == pytest.approx((exact.low, exact.high))
    assert (apcer["print"].errors, apcer["print"].presented) == (1, 10)
    assert apcer["mask"].errors == 0
    assert any("10% of 10 photos of attack print pass" in warning for warning in warnings)


def test_a_camera_that_scores_low_gets_a_low_threshold_and_a_loud_warning():
    profile, warnings = calibrate(guard(), shown(*np.linspace(0.1, 0.2, 80)), bpcer=0.05)
    assert profile.photos.attack_below == profile.photos.live_from == pytest.approx(0.105, abs=2e-3)
    text = " ".join(warnings)
    assert "for photos, below the weights' own 0.600: more attacks will pass" in text
    assert "No attacks were given as photos" in text


def test_too_few_are_named_with_the_rule_of_three():
    assert [needed(bpcer) for bpcer in (0.01, 0.05, 0.1)] == [300, 60, 30]
    _, warnings = calibrate(guard(), shown(*[0.9] * 59), bpcer=0.05)
    assert any("takes 60 (3 / n)" in warning for warning in warnings)
    _, warnings = calibrate(guard(), shown(*[0.9] * 60), {"print": shown(0.1)}, bpcer=0.05)
    assert len(warnings) == 1  # of the clips, of which there are none
    with pytest.raises(InputError, match="4 live photos and 0 live clips could be judged"):
        calibrate(guard(), shown(0.9, 0.9, 0.9, 0.9))
    with pytest.raises(ConfigError, match="Write 5 % as 0.05"):
        calibrate(guard(), shown(*[0.9] * 60), bpcer=5)


def test_photos_and_clips_have_quantiles_of_their_own():
    live = Presented(Shown(np.linspace(0.5, 0.9, 40)), Shown(np.linspace(0.7, 0.8, 40), {"a.mp4": "no_face"}))
    attacks = {"print": Presented(Shown(np.array([0.1, 0.95])), Shown(np.array([0.1])))}
    profile, _ = calibrate(guard(), live, attacks, bpcer=0.05)
    assert [point.bpcer.errors for point in (profile.photos, profile.clips)] == [2, 2]
    assert profile.photos.live_from == live.photos.liveness[2]
    assert profile.clips.live_from == live.clips.liveness[2]
    assert [point.apcer["print"].presented for point in (profile.photos, profile.clips)] == [2, 1]
    assert profile.clips.unanswered == 1


@pytest.mark.parametrize(("liveness", "expected"), [(0.9, 0.9), (0.2, 0.6)])
def test_a_kind_with_too_few_gets_the_stricter_point_and_says_so(liveness, expected):
    few = Shown(np.full(4, 0.3))
    for live, kind in ((Presented(Shown(np.full(9, liveness)), few), "clips"),
                       (Presented(few, Shown(np.full(9, liveness))), "photos")):  # fmt: skip
        profile, warnings = calibrate(guard(), live, bpcer=0.05)
        assert getattr(profile, kind).thresholds == (0.3, expected)
        assert getattr(profile, kind).bpcer is None
        assert any(f"{kind} get the stricter" in warning for warning in warnings)


def test_a_threshold_of_zero_is_never_written():
    with pytest.raises(ConfigError, match="every face live"):
        calibrate(guard(), shown(*[0.0] * 10))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 1.0}}
    folder = tmp_path / "weights"
    folder.mkdir()
    save_detector(folder / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    from skimage.data import astronaut

    folder = tmp_path / "live"
    folder.mkdir()
    for i in range(6):
        Image.fromarray(np.roll(astronaut(), 3 * i, 1)).save(folder / f"{i}.png")
    Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(folder / "dark.png")
    (folder / "broken.jpg").write_text("no picture")
    return folder


def test_the_command_makes_a_profile_that_check_follows(weights, photos, tmp_path, capsys):
    profile = tmp_path / "door.json"
    command = ["calibrate", photos, "--out", profile, "--weights", weights, "--bpcer", "0.2", "--name", "door"]
    build_app()([str(token) for token in command], result_action="return_value")
    said = capsys.readouterr().out
    assert "BPCER 1 of 6" in said
    assert "at the weights' own 1.0000: 6 of 6" in said
    assert "not judged: dark.png: no_face" in said
    assert "not judged: broken.jpg" in said
    guard = despoof.load(weights, profile=profile)
    liveness = sorted(guard.check(photos / f"{i}.png").liveness for i in range(6))
    assert guard.thresholds[1] == pytest.approx(liveness[1])
    verdict = guard.check(photos / "0.png")
    assert verdict.as_row()["profile"] == read_profile(profile).label
    assert despoof.load(weights).check(photos / "0.png").decision != "LIVE"  # the weights' own point refuses all


def test_a_profile_of_other_weights_is_refused_by_name(weights, photos, tmp_path):
    profile = tmp_path / "door.json"
    command = ["calibrate", photos, "--out", profile, "--weights", weights]
    build_app()([str(token) for token in command], result_action="return_value")
    torch.manual_seed(1)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 1.0}}
    save_detector(weights / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    with pytest.raises(ArtefactError, match="'camera' was measured with weights.detector"):
        despoof.load(weights, profile=profile)
    assert json.loads(profile.read_text())["photos"]["bpcer"]["presented"] == 6


def test_a_clip_is_judged_by_the_judge_that_decides_in_use(weights, tmp_path):
    pytest.importorskip("av")
    from skimage.data import astronaut

    from despoof.clip.frame import read_clip
    from despoof.clip.judge import judge_clip
    from despoof.clip.rule import ClipRule
    from miniatures import write_video

    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "a.mp4", [np.roll(astronaut(), 2 * i, 1) for i in range(50)])
    Image.fromarray(astronaut()).save(folder / "b.png")
    guard, rule = despoof.load(weights), ClipRule()
    found = present(guard, folder, "live")
    assert found.photos.liveness.tolist() == [guard.check(folder / "b.png").liveness]
    assert found.clips.liveness.tolist() == [judge_clip(guard, read_clip(folder / "a.mp4", rule)).faces[0].liveness]
    profile, _ = calibrate(guard, Presented(found.photos, Shown(found.clips.liveness.repeat(5))))
    guard = despoof.load(weights, profile=profile)
    assert guard.clip_thresholds[1] == found.clips.liveness[0]
    assert judge_clip(guard, read_clip(folder / "a.mp4", rule)).decision == "LIVE"  # exactly at the threshold
    with pytest.raises(ArtefactError, match="clip_rule.parts"):
        judge_clip(guard, read_clip(folder / "a.mp4", rule), ClipRule(parts=1))


def test_an_engine_of_another_precision_needs_thresholds_of_its_own(weights):
    engine = TorchEngine(despoof.load(weights).engine.detector, weights={"detector": "d"})
    engine.precision, engine.name = "bfloat16", "openvino/bfloat16"
    with pytest.raises(ArtefactError, match="measured in float32, engine openvino/bfloat16"):
        Guard(engine)
    measuring = Guard(engine, measuring=True)
    assert decide(0.99, measuring.thresholds) is decide(0.0, measuring.clip_thresholds) is Decision.UNCERTAIN
    profile, _ = calibrate(measuring, shown(*[0.9] * 9))
    assert profile.precision == "bfloat16"
    assert Guard(engine, profile=profile).thresholds[1] == 0.9
    with pytest.raises(ArtefactError, match="precision 'bfloat16', now in use: 'float32'"):
        despoof.load(weights, profile=profile)


def test_an_empty_folder_is_refused(weights, tmp_path):
    with pytest.raises(InputError, match="no photo and no clip"):
        present(despoof.load(weights), tmp_path / "none", "live")
