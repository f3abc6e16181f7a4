"""Named operating points: what is chosen decides, and what cannot be is refused; a wrong point opens the door."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from despoof.cli.app import build_app
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.engine.by_torch import TorchEngine
from despoof.errors import ArtefactError, ConfigError
from despoof.pipeline import Guard, load
from despoof.points import NAMES, expected_rows, point_of, points_of
from despoof.profile import Point, Profile, Rate
from despoof.verdict import Decision

LIMITS = {"strict": (0.2, 1.0), "balanced": (0.3, 0.6), "lenient": (0.0, 1e-9)}  # any liveness: not live, ..., live


def rate(value: float) -> dict[str, float]:
    return {"value": value, "low": value / 2, "high": value * 2}


def told(**changes: object) -> dict:
    points = {
        name: {
            "attack_below": low,
            "live_from": high,
            "expected": {
                "cameras": 32, "bpcer": rate(0.061), "uncertain_live": rate(0.04),
                "apcer": {"mean": rate(0.07), "print": rate(0.052)},
            },
        }
        for name, (low, high) in LIMITS.items()
    }  # fmt: skip
    return points | changes


def detector(points: dict | None, thresholds: tuple[float, float] = LIMITS["balanced"]) -> Detector:
    torch.manual_seed(0)
    facts: dict = {"thresholds": dict(zip(("attack_below", "live_from"), thresholds, strict=True))}
    facts |= {} if points is None else {"points": points}
    return Detector(replace(TINY, insertion="none"), facts).eval()


def folder(at: Path, points: dict | None) -> Path:
    save_detector(at / "detector.safetensors", detector(points))
    return at


def test_the_chosen_point_decides_and_every_verdict_names_it(tmp_path: Path, portrait: np.ndarray) -> None:
    weights, decisions = folder(tmp_path, told()), {}
    for name in NAMES:
        guard = load(weights, point=name)
        assert (guard.point, guard.thresholds, guard.clip_thresholds) == (name, LIMITS[name], LIMITS[name])
        verdict = guard.check(portrait)
        assert verdict.point == verdict.as_row()["point"] == name
        assert guard.check(np.zeros_like(portrait)).point == name
        decisions[name] = verdict.decision
    assert decisions["lenient"] is Decision.LIVE
    assert decisions["strict"] is not Decision.LIVE
    assert load(weights).point == load(weights, point="balanced").point == "balanced"
    assert load(weights).thresholds == LIMITS["balanced"]


def test_a_detector_without_points_has_its_thresholds_alone(tmp_path: Path) -> None:
    weights = folder(tmp_path, None)
    assert (load(weights).point, load(weights).thresholds) == ("balanced", (0.3, 0.6))
    with pytest.raises(ConfigError, match="'strict'; these weights have balanced"):
        load(weights, point="strict")


def test_an_unknown_point_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'paranoid'; these weights have strict, balanced, lenient"):
        load(folder(tmp_path, told()), point="paranoid")


def test_a_profile_excludes_a_point() -> None:
    made, rate_ = detector(told()), Rate(0, 60, 0.0, 0.06)
    engine = TorchEngine(made, weights={"detector": "d"})
    measuring = Guard(engine, measuring=True)
    assert measuring.point is None
    point = Point(0.1, 0.4, rate_)
    profile = Profile("door", point, point, {"detector": "d"}, measuring.preprocessing, {}, 0.05)
    with pytest.raises(ConfigError, match="'strict' with profile 'door'"):
        Guard(engine, profile=profile, point="strict")
    guard = Guard(engine, profile=profile)
    assert (guard.point, guard.thresholds) == (None, (0.1, 0.4))


@pytest.mark.parametrize(
    "wrong",
    [
        told(strict={"attack_below": 0.7, "live_from": 0.6, "expected": {}}),  # out of order
        told(strict={"attack_below": 0.0, "live_from": 0.0, "expected": {}}),  # calls everything live
        told(lenient={"attack_below": 0.1, "live_from": float("nan"), "expected": {}}),
        told(lenient={"attack_below": 0.1, "live_from": 1.1, "expected": {}}),
        told(lenient={"attack_below": 0.1, "expected": {}}),
        told(lenient={"attack_below": 0.1, "live_from": "much", "expected": {}}),
        told(lenient=7),
        told(balanced={"attack_below": 0.3, "live_from": 0.5, "expected": {}}),  # not the thresholds
        told(generous={"attack_below": 0.1, "live_from": 0.2, "expected": {}}),
        {"strict": told()["strict"]},  # no default
    ],
)
def test_points_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ArtefactError, match="detector has|detector's point"):
        points_of(detector(wrong).facts)


def test_the_table_says_what_to_expect_in_percent() -> None:
    head, rows = expected_rows(points_of(detector(told()).facts))
    assert head == ["point", "attack below", "live from", "BPCER", "live UNCERTAIN", "APCER print", "APCER mean"]
    assert [row[0] for row in rows] == list(NAMES)
    assert rows[1] == [
        "balanced", "0.300", "0.600", "6.1 (3.0–12.2)", "4.0 (2.0–8.0)", "5.2 (2.6–10.4)", "7.0 (3.5–14.0)",
    ]  # fmt: skip
    unseen = told(strict=told()["strict"] | {"expected": {"apcer": {"mask": dict.fromkeys(rate(0), float("nan"))}}})
    assert expected_rows(points_of(detector(unseen).facts))[1][0][3:6] == ["–", "–", "–"]
    _, (alone,) = expected_rows({"balanced": point_of(detector(None).facts)})
    assert alone == ["balanced", "0.300", "0.600", "–", "–"]


def test_info_shows_the_points(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for points, said in ((told(), "means over 32 cameras"), (None, "was not measured")):
        build_app()(["info", "--weights", str(folder(tmp_path, points))], result_action="return_value")
        shown = capsys.readouterr().out
        assert said in shown
        assert ("| strict " in shown) is (points is not None)
        assert "| balanced " in shown
