"""From frames to one verdict: fusion by hand-counted cases, faces followed, and only one whole live face is LIVE; a
clip judged too early, or by a passer-by, opens the door."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from despoof.clip.frame import Frame
from despoof.clip.judge import judge_clip, part_medians
from despoof.clip.rule import ClipRule
from despoof.clip.timeline import save_timeline
from despoof.clip.track import Track, assign
from despoof.errors import ConfigError, InputError
from despoof.faces.box import overlap
from despoof.faces.detect import FoundFace
from despoof.faces.quality import QualityLimits, Reason
from despoof.verdict import Decision, Verdict, decide

LEFT, RIGHT = (0.0, 0.0, 40.0, 50.0), (60.0, 0.0, 30.0, 40.0)
DARK = Reason("too_dark", 1.0, 2.0, "Too dark.")


def face(box=LEFT) -> FoundFace:
    """Return a face that is upright beyond doubt: its eyes are half of the box apart."""
    x, y, width, height = box
    places = ((0.25, 0.4), (0.75, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    return FoundFace(box, np.float32([(x + across * width, y + down * height) for across, down in places]), 0.999)


@dataclass
class Scripted:
    """A guard that finds the faces and says the liveness (None: refused) that stand in a frame's script."""

    script: list[list[tuple[tuple, float | None]]]
    clip_thresholds: tuple[float, float] = (0.3, 0.6)
    weights: dict = field(default_factory=dict)
    engine_name: str = "torch"
    profile: SimpleNamespace | None = None
    point: str = "balanced"
    limits: QualityLimits = field(default_factory=QualityLimits)
    looked: int = 0

    def find(self, image: np.ndarray) -> list[FoundFace]:
        self.now = self.script[int(image[0, 0, 0])]
        self.looked += 1
        return [face(box) for box, _ in self.now]

    def check_faces(self, scene, thresholds) -> list[Verdict]:
        assert thresholds == self.clip_thresholds
        said = dict(self.now)
        return [self.verdict(said[each.box]) for each in scene.faces]

    def verdict(self, liveness: float | None) -> Verdict:
        if liveness is None:
            return Verdict(Decision.NO_DECISION, reasons=(DARK,))
        return Verdict(decide(liveness, self.clip_thresholds), liveness)

    def frames(self):
        for i in range(len(self.script)):
            yield Frame(i / 4, np.full((64, 64, 3), i, np.uint8))


def judged(script, **rule):
    guard = Scripted(script)
    return judge_clip(guard, guard.frames(), ClipRule(**rule)), guard


def one(*liveness: float | None) -> list:
    return [[(LEFT, value)] for value in liveness]


def test_the_lowest_median_of_a_part_decides_and_a_few_wild_frames_do_not():
    verdict, _ = judged(one(0.9, 0.1, 0.8, 0.85, 0.1, 0.95))  # two parts of three frames
    assert (verdict.decision, verdict.faces[0].liveness) == (Decision.LIVE, 0.8)
    verdict, _ = judged(one(0.2, 0.1, 0.9, 0.25, 0.1, 0.95))
    assert (verdict.decision, verdict.faces[0].liveness) == (Decision.ATTACK, 0.2)
    assert judged(one(0.7, 0.8, 0.9, 0.45, 0.9, 0.1))[0].decision is Decision.UNCERTAIN
    assert part_medians([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], ClipRule()) == [2.5, 6, 9]
    assert part_medians([1, 2, 3, 4, 5], ClipRule()) == [3]


@pytest.mark.parametrize("count", [6, 8, 12, 20, 32])
@pytest.mark.parametrize("share", [0.55, 0.6, 0.7])
def test_a_clip_that_is_live_for_a_while_is_not_live_in_either_order(count, share):
    live = round(share * count)
    script = [0.9] * live + [0.1] * (count - live)
    for order in (script, script[::-1]):
        verdict, guard = judged(one(*order))
        assert not verdict.is_live
        assert count < 12 or verdict.reasons[0].name == "changes"  # of few frames, a part may hold two of each
        assert guard.looked == count  # to the end, however live it begins


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.45, 0.9]), min_size=6, max_size=32))
def test_a_clip_is_live_only_if_each_part_is_and_backwards_it_is_too(liveness):
    verdict, _ = judged(one(*liveness))
    medians = part_medians(liveness, ClipRule())
    assert (verdict.decision is Decision.LIVE) == (min(medians) >= 0.6)
    if len(liveness) % 3 == 0:  # else the parts are of other lengths backwards
        assert judged(one(*liveness[::-1]))[0].decision is verdict.decision


def test_too_few_judged_frames_are_no_decision_with_the_cause():
    verdict, _ = judged(one(0.9, 0.9, 0.9, 0.9, 0.9, None, None, None))
    assert verdict.decision is Decision.NO_DECISION
    assert verdict.reasons[0].name == "too_few_frames"
    assert "judged in 5 frames; expected at least 6 (too_dark)" in verdict.reasons[0].sentence
    assert judged(one(0.9, 0.9, 0.9, None, 0.9, 0.9, 0.9))[0].decision is Decision.LIVE


def test_two_faces_are_never_live_and_each_has_its_own_verdict():
    script = [[(LEFT, 0.9), (RIGHT, 0.1)]] * 6
    verdict, _ = judged(script)
    assert verdict.decision is Decision.NO_DECISION
    assert [each.decision for each in verdict.faces] == [Decision.LIVE, Decision.ATTACK]
    assert verdict.reasons[0].name == "several_faces"


def test_a_box_in_a_single_frame_is_no_second_face():
    script = [[(LEFT, 0.9)]] * 8
    script[3] = [(LEFT, 0.9), (RIGHT, 0.9)]
    verdict, _ = judged(script)
    assert verdict.decision is Decision.LIVE
    assert len(verdict.faces) == 1


def test_no_face_and_an_empty_clip_are_no_decision():
    for script in ([], [[]] * 8):
        verdict, _ = judged(script)
        assert verdict.decision is Decision.NO_DECISION
        assert verdict.reasons[0].name == "no_face"
        assert verdict.as_row()["faces"] == []


def test_a_clip_that_breaks_off_is_no_decision_however_live_it_began():
    guard = Scripted(one(*[0.9] * 8))

    def breaking():
        yield from guard.frames()
        raise InputError("clip.mp4 breaks off. Copy it again.")

    verdict = judge_clip(guard, breaking())
    assert verdict.decision is Decision.NO_DECISION
    assert verdict.reasons[0].sentence == "clip.mp4 breaks off. Copy it again."


def test_overlap_by_hand():
    assert overlap((0, 0, 2, 2), (1, 1, 2, 2)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert overlap((0, 0, 2, 2), (5, 5, 2, 2)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_faces_keep_their_track_when_they_move_or_swap_order():
    tracks: list[Track] = []
    first, second = assign(tracks, [face(LEFT), face(RIGHT)])
    moved = [face((62.0, 2.0, 30.0, 40.0)), face((3.0, 1.0, 40.0, 50.0))]
    assert assign(tracks, moved) == [second, first]
    third = assign(tracks, [face((200.0, 200.0, 30.0, 30.0))])[0]
    assert third not in (first, second)
    assert len(tracks) == 3


def test_a_poster_is_not_followed_and_of_many_people_only_some():
    poster = (60.0, 0.0, 20.0, 30.0)  # 600 px of 2,000
    verdict, _ = judged([[(poster, 0.1), (LEFT, 0.9)]] * 6)
    assert (verdict.decision, len(verdict.faces)) == (Decision.LIVE, 1)
    crowd = [((50.0 * i, 0.0, 40.0, 50.0), 0.9) for i in range(6)]
    assert len(judged([crowd] * 6)[0].faces) == 4
    assert len(judged([crowd] * 6, most_faces=2)[0].faces) == 2


def test_the_turn_of_a_clip_is_that_of_its_first_frames_with_a_face(portrait):
    sideways, blank = np.ascontiguousarray(np.rot90(portrait, 1)), np.zeros((512, 512, 3), np.uint8)
    given: list[np.ndarray] = []

    class Watching(Scripted):
        find = None  # the package's own search

        def check_faces(self, scene, thresholds):
            given.extend([scene.image] * len(scene.faces))
            return [self.verdict(0.9) for _ in scene.faces]

    shown = [blank, *[sideways] * 4, portrait, *[sideways] * 4]
    verdict = judge_clip(Watching([]), [Frame(i / 4, image) for i, image in enumerate(shown)])
    assert verdict.decision is Decision.LIVE
    assert [len(face.sights) for face in verdict.faces] == [8]
    clockwise = [np.array_equal(image, np.rot90(frame, -1)) for image, frame in zip(given, shown[1:], strict=False)]
    assert clockwise == [True] * len(given)  # the upright frame too, if anything is found in it


def test_the_example_is_the_frame_nearest_to_the_fused_liveness():
    verdict, _ = judged(one(0.9, 0.7, 0.8, None, 0.95, 0.65, 0.9))
    assert verdict.faces[0].example.liveness == pytest.approx(0.8)


def test_the_timeline_shows_each_face_and_each_frame(tmp_path):
    verdict, _ = judged([[(LEFT, 0.9), (RIGHT, None)]] * 6)
    image = np.array(Image.open(save_timeline(verdict, tmp_path / "t.png")))
    assert image.shape == (34 + 2 * 190, 860, 3)
    green, grey = (np.all(np.abs(image.astype(int) - colour) < 12, -1) for colour in ((96, 200, 120), (130, 136, 146)))
    assert green[:224].sum() > 6 * 40  # six dots
    assert grey[224:].sum() > 6 * 15  # six ticks


@pytest.mark.parametrize(
    "change", [{"per_second": 0}, {"most_frames": 0}, {"least_judged": 40}, {"max_seconds": float("inf")}]
)
def test_impossible_rules_are_refused(change):
    with pytest.raises(ConfigError, match="clip"):
        ClipRule(**change)


def test_a_clip_is_judged_only_by_the_rule_that_its_thresholds_were_measured_with():
    rules = []
    guard = Scripted(one(*[0.9] * 8), profile=SimpleNamespace(must_fit=lambda **here: rules.append(here), label="door"))
    judge_clip(guard, guard.frames(), ClipRule(parts=2, max_seconds=9.0))
    assert rules == [{"clip_rule": ClipRule(parts=2).deciding()}]


def test_a_clip_has_no_truth_value_either():
    with pytest.raises(TypeError, match="is_live"):
        bool(judged(one(*[0.9] * 8))[0])


def test_a_guard_that_answers_nonsense_opens_nothing():
    assert decide(float("nan"), (0.3, 0.6)) is Decision.NO_DECISION
