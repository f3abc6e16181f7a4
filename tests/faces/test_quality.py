"""Each reason of the gate is raised by a picture made for it, and by nothing else; pose against a projected head."""

import csv
from dataclasses import FrozenInstanceError, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from despoof.data.image import read_image
from despoof.faces.align import align
from despoof.faces.detect import FoundFace, find_faces
from despoof.faces.quality import MOUTH_DROP, NOSE_DEPTH, NOSE_SHARE, QualityLimits, gate, measure, pose
from despoof.faces.scene import look

EYE = 60.0  # distance between the eyes of the hand-made head, px
# Right, down, towards the camera, in eye distances, from the middle between the eyes.
HEAD = np.array(
    [
        (-0.5, 0, 0),
        (0.5, 0, 0),
        (0, NOSE_SHARE * MOUTH_DROP, NOSE_DEPTH),
        (-0.4, MOUTH_DROP, 0),
        (0.4, MOUTH_DROP, 0),
    ]
)


def head(yaw: float = 0, pitch: float = 0, roll: float = 0, *, at: tuple[float, float] = (150, 110)) -> np.ndarray:
    """Landmarks (5, 2) of a head turned to the picture's right, looking up, then turned clockwise; orthographic."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    turn_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (HEAD @ (turn_z @ turn_x @ turn_y).T)[:, :2] * EYE + at


def found(landmarks: np.ndarray, *, score: float = 0.99, scale: float = 1.0, shift: float = 0.0) -> FoundFace:
    return FoundFace((90.0 + shift, 70.0, 120.0 * scale, 150.0 * scale), landmarks.astype(np.float32), score)


IMAGE = np.full((300, 300, 3), 128, np.uint8)
GOOD = np.random.default_rng(0).integers(90, 170, (256, 256, 3), np.uint8)


def names(face: np.ndarray = GOOD, landmarks: np.ndarray | None = None, others: list[FoundFace] | None = None) -> list:
    one = found(head() if landmarks is None else landmarks)
    return [reason.name for reason in gate(IMAGE, [one, *(others or [])], face)]


@pytest.mark.parametrize("angle", [-40, -15, 0, 25, 45])
def test_pose_recovers_each_angle_of_a_projected_head(angle):
    assert pose(head(yaw=angle)) == pytest.approx((angle, 0, 0), abs=1e-6)
    assert pose(head(pitch=angle)) == pytest.approx((0, angle, 0), abs=1e-6)
    assert pose(head(roll=angle)) == pytest.approx((0, 0, angle), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.floats(-25, 25), st.floats(-20, 20), st.floats(-180, 180))
def test_roll_does_not_change_yaw_and_pitch(yaw, pitch, roll):
    straight, turned = pose(head(yaw, pitch)), pose(head(yaw, pitch, roll))
    if abs(straight[2]) + abs(roll) < 170:
        assert turned[:2] == pytest.approx(straight[:2], abs=1e-6)


def test_landmarks_in_one_point_fail_instead_of_passing():
    assert {"too_small", "extreme_pitch"} <= set(names(landmarks=np.full((5, 2), 150.0)))


def test_landmarks_that_are_not_numbers_fail():
    assert {"too_small", "extreme_yaw"} <= set(names(landmarks=np.full((5, 2), np.nan)))


def test_a_good_face_has_no_reason():
    assert names() == []


def test_the_portrait_passes(portrait):
    faces = find_faces(portrait)
    assert gate(portrait, faces, align(portrait, faces[0].landmarks)) == []


def test_no_face():
    reasons = gate(IMAGE, [], None)
    assert [(r.name, r.value, r.limit) for r in reasons] == [("no_face", 0, 1)]
    assert [r.name for r in gate(IMAGE, [found(head())], None)] == ["no_face"]


GREY = cv2.GaussianBlur(GOOD, (0, 0), 0.8).astype(float) - 128  # contrast that survives a shift of the mean
MADE = {
    "too_blurred": {"face": cv2.GaussianBlur(GOOD, (0, 0), 12)},
    "too_dark": {"face": np.clip(GREY * 0.5 + 25, 3, 252).astype(np.uint8)},
    "too_bright": {"face": np.clip(GREY * 0.5 + 230, 3, 252).astype(np.uint8)},
    "clipped": {"face": np.where(np.arange(256)[None, :, None] < 128, 255, GOOD // 2).astype(np.uint8)},
    "too_small": {"landmarks": (head() - 150) * 0.3 + 150},
    "extreme_yaw": {"landmarks": head(yaw=65)},
    "extreme_pitch": {"landmarks": head(pitch=-55)},
    "at_border": {"landmarks": head(at=(-5, 110))},
}


@pytest.mark.parametrize("name", MADE)
def test_each_fault_is_named_and_no_other(name):
    assert names(**MADE[name]) == [name]


@pytest.mark.parametrize("at", [(-40, 110), (150, 400)])
def test_a_face_beyond_the_border_is_at_the_border(at):
    """Its margin is negative, and larger than the limit without its sign."""
    assert names(landmarks=head(at=at)) == ["at_border"]


def test_all_faults_are_named_at_once():
    face = np.zeros((256, 256, 3), np.uint8)
    assert set(names(face, head(yaw=65, roll=40))) == {
        "too_blurred", "too_dark", "clipped", "extreme_yaw"
    }  # fmt: skip


@pytest.mark.parametrize("roll", [-170, -90, -35, 35, 120])
def test_a_head_that_leans_is_no_fault(roll):
    assert names(landmarks=head(roll=roll)) == []


def test_a_second_face_counts_only_if_large_and_sure():
    other = head(at=(250, 110))
    assert names(others=[found(other, scale=0.9)]) == ["several_faces"]
    assert names(others=[found(other, scale=1.5)]) == ["several_faces"]
    assert names(others=[found(other, scale=0.66)]) == ["several_faces"]  # .44 of the area: 1.5 times as far away
    assert names(others=[found(other, scale=0.6)]) == []  # .36
    assert names(others=[found(other, score=0.85)]) == []
    reason = gate(IMAGE, [found(head()), found(other), found(other)], GOOD)[0]
    assert (reason.value, reason.limit) == (3, 1)


def test_ten_faces_are_several(portrait):
    image = np.vstack([np.hstack([portrait[20:220, 130:330]] * 5)] * 2)
    faces = find_faces(image)
    assert "several_faces" in [r.name for r in gate(image, faces, align(image, faces[0].landmarks))]


def test_a_reason_states_value_limit_and_next_step():
    reason = gate(IMAGE, [found(head())], MADE["too_dark"]["face"])[0]
    assert reason.value < reason.limit == QualityLimits().dark
    assert "Turn to the light." in reason.sentence
    assert f"{reason.value:g}" in reason.sentence
    assert f"{reason.limit:g}" in reason.sentence
    with pytest.raises(FrozenInstanceError):
        reason.value = 0


def test_limits_can_be_moved():
    strict = replace(QualityLimits(), eye_distance=90.0)
    assert [r.name for r in gate(IMAGE, [found(head())], GOOD, strict)] == ["too_small"]


def test_measured_values_by_hand():
    face = np.zeros((256, 256, 3), np.uint8)
    face[:, :64] = 200
    values = measure(IMAGE, found(head(at=(100, 110))), face)
    assert values["eye_distance"] == EYE
    assert values["luma"] == 50
    assert values["clipped"] == 0.75
    assert values["margin"] == pytest.approx((100 - EYE / 2) / EYE, abs=1e-3)  # the left eye is the nearest point
    # Laplacian: -200 and +200 in the two columns at the edge, of 256
    assert values["sharpness"] == pytest.approx(2 * 200**2 / 256, rel=1e-3)


@pytest.mark.parametrize(("name", "step", "most"), [("captures", 30, 0.02), ("cameras", 20, 0.06)])
def test_few_ordinary_live_captures_are_refused(shared, name, step, most):
    """The limits were set on such: 35 cameras, faces of 40 to 300 px, some of them cut, turned or soft."""
    with (shared / "data" / name / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "live"][::step]
    refused = 0
    for row in rows:
        scene = look(read_image(shared / "data" / name / row["path"]))
        face = align(scene.image, scene.faces[0].landmarks) if scene.faces else None
        refused += bool(gate(scene.image, scene.faces, face))
    assert len(rows) > 50
    assert refused / len(rows) < most
