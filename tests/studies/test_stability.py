"""Effects of a guard whose answers are arithmetic, counted by hand; a change that is not counted would be a steady
verdict."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.faces.detect import FindFaces, FoundFace
from despoof.faces.quality import Reason
from despoof.faces.scene import Scene
from despoof.studies.stability import study as module
from despoof.studies.stability.sheet import short_table, write_sheet
from despoof.studies.stability.study import OURS, PLAIN, Answers, Captures, effects, equal_error, judge
from despoof.studies.tables import Share
from despoof.verdict import Verdict, decide

SIDE = 40
LIVE = (240, 220, 180, 140, 120)  # one grey each; liveness is the mean grey of a picture, of white
ATTACK = (30, 60, 100, 10)
NAMES = ["border black 20 %", "border white 20 %", "turn mirrored"]
SHARE_INSIDE = (SIDE / (SIDE + 2 * 8)) ** 2  # what a border of 20 % leaves of a picture


class StubGuard:
    """Finds bright pictures live; does not judge what is darker than 5 % of white."""

    thresholds = (0.3, 0.5)  # LIVE from 128, ATTACK below 77
    weights, engine_name, preprocessing = {"detector": "d0"}, "torch", {"detector": "stub"}
    point = "balanced"

    def __init__(self) -> None:
        self.seen, self.stop_after = 0, 99

    def check_many(self, images: list[np.ndarray]) -> list[Verdict]:
        if self.seen == self.stop_after:
            raise KeyboardInterrupt
        self.seen += 1
        return [self.verdict(float(image.mean() / 255)) for image in images]

    def verdict(self, mean: float) -> Verdict:
        if mean < 0.05:
            return Verdict(decide(float("nan"), self.thresholds), None, (Reason("too_dark", mean, 0.05, "Dark."),))
        return Verdict(decide(mean, self.thresholds), mean)

    @staticmethod
    def find(image: np.ndarray) -> list[FoundFace]:
        return [FoundFace((4, 4, 20, 20), np.zeros((5, 2), np.float32), 1.0)]


@pytest.fixture
def captures(tmp_path: Path) -> Captures:
    samples = []
    for label, greys in ((Label.LIVE, LIVE), (Label.ATTACK, ATTACK)):
        for i, grey in enumerate(greys):
            cv2.imwrite(str(tmp_path / f"{label}-{i}.png"), np.full((SIDE, SIDE, 3), grey, np.uint8))
            samples.append(Sample(f"{label}-{i}.png", label, domain="ab"[i % 2], source=str(tmp_path)))
    return Captures.taken(samples, 9)


class Corner:
    """A public model that sees the top left pixel alone."""

    name, label = "corner", "c0"

    def open(self):
        return lambda image, face: float(image[0, 0, 0] / 255)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> list[Corner]:
    """That model, which finds no face where its pixel is white."""
    look = module.look

    def seen(image: np.ndarray, find: FindFaces) -> Scene:
        scene = look(image, find)
        return replace(scene, faces=[]) if image[0, 0, 0] == 255 else scene

    monkeypatch.setattr(module, "look", seen)
    return [Corner()]


def test_effects_are_the_hand_counted_ones(captures: Captures, peers: list[Corner], tmp_path: Path) -> None:
    judged = judge(StubGuard(), captures, NAMES, tmp_path / "out", peers=peers)
    black, white, mirrored = effects(captures, judged[OURS])
    # As they are: LIVE 240 220 180 140, UNCERTAIN 120 and 100, ATTACK 60 and 30; 10 is too dark to be judged.
    # Black leaves .51: UNCERTAIN 240 220 180 (91.8), ATTACK from 140 down; 15.3 is judged, 5.1 was not before either.
    assert black.decisions_changed == Share(6, 9)  # 240 220 180 140 120 100
    assert black.live_refused == Share(4, 4)
    assert black.attacks_passed == Share(0, 4)
    assert black.no_longer_judged == Share(0, 8)
    shift = np.mean([grey * (1 - SHARE_INSIDE) / 255 for grey in (*LIVE, 30, 60, 100)])
    assert black.change_of_liveness.value == pytest.approx(shift, abs=1e-6)
    # White adds 125: LIVE from 6 up, all of them.
    assert white.decisions_changed == Share(5, 9)
    assert white.live_refused == Share(0, 4)
    assert white.attacks_passed == Share(4, 4)
    assert mirrored.decisions_changed == Share(0, 9)
    assert mirrored.change_of_liveness.value == 0


def test_public_models_decide_at_equal_error_and_are_silent_without_a_face(
    captures: Captures, peers: list[Corner], tmp_path: Path
) -> None:
    judged = judge(StubGuard(), captures, NAMES, tmp_path / "out", peers=peers)
    assert list(judged) == [OURS, "corner"]
    assert set(judged["corner"][PLAIN].decisions[captures.live]) == {"LIVE"}  # 120 and up against 100 and down
    assert set(judged["corner"][PLAIN].decisions[~captures.live]) == {"ATTACK"}
    black, white, mirrored = effects(captures, judged["corner"])
    assert (black.live_refused, black.attacks_passed, black.no_longer_judged) == (Share(5, 5), Share(0, 4), Share(0, 9))
    assert (white.live_refused, white.attacks_passed, white.no_longer_judged) == (Share(5, 5), Share(0, 4), Share(9, 9))
    assert np.isnan(white.change_of_liveness.value)
    assert mirrored.decisions_changed == Share(0, 9)


def test_equal_error_leaves_out_what_was_not_judged() -> None:
    live = np.array([True, True, True, False, False, False])
    liveness = np.array([0.9, 0.8, np.nan, 0.2, 0.3, np.nan])
    assert 0.3 < equal_error(liveness, live) <= 0.8
    assert Answers.at(liveness, 0.5).decisions.tolist() == [
        "LIVE", "LIVE", "NO_DECISION", "ATTACK", "ATTACK", "NO_DECISION",
    ]  # fmt: skip


def test_a_killed_study_goes_on_judges_nothing_twice_and_refuses_another(
    captures: Captures, peers: list[Corner], tmp_path: Path
) -> None:
    whole = judge(StubGuard(), captures, NAMES, tmp_path / "whole", peers=peers)
    guard, out = StubGuard(), tmp_path / "out"
    guard.stop_after = 5
    with pytest.raises(KeyboardInterrupt):
        judge(guard, captures, NAMES, out, peers=peers)
    path = out / "verdicts.jsonl"
    path.write_text(path.read_text()[:-5])  # a kill in mid-line: one of the fifth capture's
    guard.stop_after, guard.seen = 99, 0
    again = judge(guard, captures, NAMES, out, peers=peers)
    assert guard.seen == 5  # the four others, and the fifth for that line
    for name, answers in whole[OURS].items():
        assert (answers.decisions == again[OURS][name].decisions).all()
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert len(lines) == len({(key, name) for key, name, *_ in lines}) == 9 * 4
    assert {tuple(reasons) for *_, reasons, _ in lines} == {(), ("too_dark",)}
    judge(guard, captures, [*NAMES, "turn by 90°"], out, peers=peers)  # more of the same run
    guard.weights = {"detector": "d1"}
    with pytest.raises(ArtefactError, match="detector was 'd0', now 'd1'"):
        judge(guard, captures, NAMES, out, peers=peers)


def test_captures_are_drawn_by_seed_from_each_domain_and_label(captures: Captures) -> None:
    few = Captures.taken(captures.samples, 1)
    assert [(one.domain, one.label.value) for one in few.samples] == [
        ("a", "attack"), ("a", "live"), ("b", "attack"), ("b", "live"),
    ]  # fmt: skip
    assert few == Captures.taken(captures.samples[::1], 1)
    limited = Captures.taken(captures.samples, 9, limit=5)
    assert [one.label.value for one in limited.samples].count("live") == len(limited.samples) - 2 == 2
    assert limited == Captures.taken(captures.samples, 9, limit=5)
    assert Captures.taken(captures.samples, 9, limit=99).data != limited.data
    with pytest.raises(InputError, match="not of both labels"):
        Captures.taken([one for one in captures.samples if one.label is Label.LIVE], 3)
    with pytest.raises(InputError, match="1 of 10 files are missing"):
        Captures.taken([*captures.samples, Sample("gone.jpg", Label.LIVE, domain="a")], 9)


def test_around_an_attack_stands_a_live_capture_of_another_domain(captures: Captures) -> None:
    for sample in captures.samples:
        given = captures.given(sample, np.zeros((SIDE, SIDE, 3), np.uint8), StubGuard.find)
        place = LIVE.index(given.other[0, 0, 0])
        assert "ab"[place % 2] != sample.domain


def test_the_page_shows_what_was_counted(captures: Captures, peers: list[Corner], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="its pictures need the extra `report`")
    guard, out = StubGuard(), tmp_path / "out"
    judged = judge(guard, captures, NAMES, out, peers=peers)
    found = {name: effects(captures, answers) for name, answers in judged.items()}
    short = write_sheet(out, guard, captures, judged)
    assert short == short_table(found)
    assert short[1] == ("border black 20 %", "66.7", "100.0", "0.0", "55.6", "100.0", "0.0")
    written = json.loads((out / "stability.json").read_text())
    black = written["effects"][OURS][0]
    assert black["decisions_changed"]["count"] == 6
    assert black["decisions_changed"]["low"] == pytest.approx(0.2993, abs=1e-4)  # Clopper-Pearson of 6 of 9
    assert written["effects"]["corner"][1]["change_of_liveness"]["value"] is None
    assert written["as captured"][OURS]["live"] == {"LIVE": 4, "ATTACK": 0, "UNCERTAIN": 1, "NO_DECISION": 0}
    page = (out / "report.md").read_text()
    assert "6 of 9 (29.9–92.5 %)" in page
    assert "9 captures of 2 domains, 5 live; seed 0. Weights: detector d0; computed by torch; point balanced" in page
    for name in ("decisions-changed", "live-refused", "attacks-passed"):
        assert f"pictures/{name}.png" in page
        assert cv2.imread(str(out / f"pictures/{name}.png")) is not None
