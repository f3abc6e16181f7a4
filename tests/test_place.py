"""What a verdict says of where its face is: a client draws the box on its own picture, and a border or a turn of that
picture must move neither the box on the face nor the verdict."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from despoof.cli.check import describe
from despoof.detector.config import TINY
from despoof.detector.network import Detector
from despoof.engine.by_torch import TorchEngine
from despoof.errors import InputError
from despoof.faces.detect import find_faces
from despoof.faces.scene import look
from despoof.pipeline import Guard
from despoof.verdict import Verdict

FACE = (177, 65, 96, 118)  # of the portrait, by eye


@pytest.fixture(scope="module")
def guard() -> Guard:
    torch.manual_seed(0)
    facts = {"thresholds": {"attack_below": 0.3, "live_from": 0.6}}
    detector = Detector(replace(TINY, insertion="none"), facts).eval()
    return Guard(TorchEngine(detector, weights={"detector": "d"}))


def about(box: tuple[float, ...]) -> object:
    return pytest.approx(np.array(box), abs=16)


def test_a_verdict_says_where_its_face_is(guard: Guard, portrait: np.ndarray) -> None:
    verdict = guard.check(portrait)
    assert verdict.box == about(FACE)
    assert (verdict.faces, verdict.room) == (1, 2.7)
    row = verdict.as_row()
    assert (row["faces"], row["room"], row["box"]) == (1, 2.7, [round(x, 1) for x in verdict.box])
    nobody = guard.check(np.full((300, 300, 3), 127, np.uint8))
    assert (nobody.faces, nobody.box, nobody.room) == (0, None, None)
    assert guard.check(b"no image").faces == 0


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_a_blank_border_moves_the_box_and_not_the_verdict(guard: Guard, portrait: np.ndarray, grey: int) -> None:
    left, top, right, bottom = 300, 40, 7, 500
    bordered = cv2.copyMakeBorder(portrait, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(grey,) * 3)
    plain, verdict = guard.check(portrait), guard.check(bordered)
    assert verdict.liveness == plain.liveness
    assert verdict.box == pytest.approx(np.add(plain.box, (left, top, 0, 0)), abs=0.01)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_sideways_picture_is_judged_upright_and_its_box_is_drawn_sideways(
    guard: Guard, portrait: np.ndarray, turns: int
) -> None:
    high = portrait[:400]  # not square, so that width and height cannot be confused
    marked = np.zeros(high.shape[:2], np.uint8)
    x, y, width, height = guard.check(high).box
    marked[round(y) : round(y + height), round(x) : round(x + width)] = 1
    turned = np.ascontiguousarray(np.rot90(high, turns))
    verdict = guard.check(turned)
    assert verdict.liveness == guard.check(high).liveness
    left, top, across, down = cv2.boundingRect(np.ascontiguousarray(np.rot90(marked, turns)))
    assert verdict.box == pytest.approx((left, top, across, down), abs=2)


def test_little_room_is_said(guard: Guard, portrait: np.ndarray) -> None:
    (found,) = find_faces(portrait)
    x, y, width, height = map(round, found.box)
    tight = portrait[y - 8 : y + height + 8, x - 12 : x + width + 12]
    verdict = guard.check(tight)
    assert verdict.room == pytest.approx(tight.shape[0] / height, abs=0.15)
    assert f"little of the surroundings is seen: {verdict.room:.1f} face widths" in describe("a.jpg", verdict)
    assert "surroundings" not in describe("a.jpg", guard.check(portrait))
    assert "surroundings" not in describe("a.jpg", guard.check(b"no image"))


def test_faces_of_one_image_say_where_each_is_and_how_many_were_seen(guard: Guard, portrait: np.ndarray) -> None:
    twice = np.hstack([portrait[:300, 100:400], portrait[:300, 100:400]])
    scene = look(cv2.copyMakeBorder(twice, 50, 0, 0, 0, cv2.BORDER_CONSTANT))
    verdicts = sorted(guard.check_faces(scene), key=lambda verdict: verdict.box)
    assert [verdict.faces for verdict in verdicts] == [2, 2]
    assert [verdict.box for verdict in verdicts] == [about((77, 115, 96, 118)), about((377, 115, 96, 118))]
    together = guard.check(twice)
    assert (together.faces, together.reasons[0].name) == (2, "several_faces")


def test_the_face_that_is_asked_about_is_judged_wherever_the_picture_is_turned(guard: Guard, portrait) -> None:
    other = np.full((512, 640, 3), 200, np.uint8)
    other[100:400, 20:260] = cv2.convertScaleAbs(portrait[20:320, 100:340], alpha=0.6, beta=60)
    other[100:400, 360:600] = portrait[20:320, 100:340]
    boxes = [(97 + dx, 145, 96, 118) for dx in (0, 340)]
    found = [guard.check(other, face=box) for box in boxes]
    assert [each.box for each in found] == [about(box) for box in boxes]
    assert [each.faces for each in found] == [2, 2]
    assert not any(reason.name == "several_faces" for each in found for reason in each.reasons)
    assert found[0].liveness != found[1].liveness
    assert guard.check(other).reasons[0].name == "several_faces"
    sideways, (left, top, width, height) = np.ascontiguousarray(np.rot90(other)), boxes[1]
    turned = (top, 640 - left - width, height, width)
    assert guard.check(sideways, face=turned).liveness == pytest.approx(found[1].liveness, abs=0.02)
    assert guard.check(other[..., ::-1], bgr=True, face=boxes[0]).liveness == found[0].liveness


@pytest.mark.parametrize("box", [(300, 300, 96, 118), (177, 65, 20, 20), (0, 0, 512, 512)])
def test_a_face_elsewhere_is_no_decision_and_never_another_ones(guard: Guard, portrait: np.ndarray, box) -> None:
    verdict = guard.check(portrait, face=box)
    assert (verdict.decision, verdict.liveness) == ("NO_DECISION", None)
    assert verdict.reasons[0].name == "other_face"
    nobody = guard.check(np.full((300, 300, 3), 127, np.uint8), face=box)
    assert nobody.decision == "NO_DECISION"


@pytest.mark.parametrize("box", [(1, 2, 3), (1, 2, 0, 4), (1, 2, float("nan"), 4), "face", 7, (1, 2, None, 4)])
def test_what_is_no_box_is_refused(guard: Guard, portrait: np.ndarray, box) -> None:
    with pytest.raises(InputError, match="left, top, width and height"):
        guard.check(portrait, face=box)


def test_the_box_is_of_the_picture_as_its_orientation_tag_turns_it(guard: Guard, portrait: np.ndarray) -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be shown after a quarter turn clockwise
    Image.fromarray(np.rot90(portrait)).save(buffer, "PNG", exif=exif)
    assert guard.check(buffer.getvalue()).box == guard.check(portrait).box


def test_a_service_answers_with_the_place(guard: Guard, portrait: np.ndarray) -> None:
    schemas = pytest.importorskip("despoof.service.schemas", reason="the extra `serve` is not installed")
    result = schemas.image_result(guard.check(portrait), explain=False, decimals=3)
    assert (result.faces, result.room) == (1, 2.7)
    assert result.box == about(FACE)
    assert schemas.image_result(Verdict("NO_DECISION"), explain=False, decimals=3).box is None
