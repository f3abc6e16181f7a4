"""What the page does to pixels, run in Node, against OpenCV and against Python's way of the same: to the grey level."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from despoof.data.portrait import FACE as BOX
from despoof.data.portrait import portrait
from despoof.faces import detect, quality, scene
from despoof.faces.align import TEMPLATE, align
from despoof.faces.detect import FoundFace
from despoof.faces.surroundings import SCALES, room, surroundings
from despoof.verdict import decide
from despoof.web import export

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")
PORTRAIT = portrait()
LARGE = cv2.resize(PORTRAIT, (1500, 1500), interpolation=cv2.INTER_CUBIC)
SMALL = cv2.resize(PORTRAIT, (120, 120), interpolation=cv2.INTER_AREA)
FACE = FoundFace(BOX, np.float32([(146, 104), (188, 107), (166, 130), (145, 145), (183, 148)]), 0.99)
ABOUT = {
    "scene": export.scene_numbers(), "gate": export.gate_numbers(),
    "align": {"template": TEMPLATE.tolist(), "size": 256}, "surroundings": {"scales": SCALES, "size": 160},
}  # fmt: skip


def page(module: str, function: str, *given):
    """Run a function of the page; arrays are pictures on both sides."""

    def told(value):
        if isinstance(value, np.ndarray) and value.ndim == 3:
            data = base64.b64encode(np.ascontiguousarray(value)).decode()
            return {"width": value.shape[1], "height": value.shape[0], "base64": data}
        return value.tolist()

    def heard(value):
        if "base64" not in value:
            return value
        data = np.frombuffer(base64.b64decode(value["base64"]), np.uint8)
        return data.reshape(value["height"], value["width"], 3)

    script = [NODE, Path(__file__).parent / "bridge.mjs", export.PAGE / f"{module}.js", function]
    done = subprocess.run(script, input=json.dumps(given, default=told), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, object_hook=heard)


def as_object(face: FoundFace) -> dict:
    return {"box": list(face.box), "landmarks": face.landmarks.tolist(), "score": face.score}


def scaled(face: FoundFace, factor: float) -> FoundFace:
    moved = (face.landmarks + 0.5) * np.float32(factor) - np.float32(0.5)
    return FoundFace(tuple(side * factor for side in face.box), moved, face.score)


def apart(one: np.ndarray, other: np.ndarray) -> tuple[int, float]:
    """Largest and mean difference in grey levels."""
    assert one.shape == other.shape
    difference = np.abs(np.subtract(one, other, dtype=np.int16))
    return difference.max(), difference.mean()


@pytest.mark.parametrize("shape", [(160, 160), (170, 113), (128, 128), (33, 340)])
def test_shrinking_is_opencvs(shape):
    most, mean = apart(
        page("picture", "shrunk", PORTRAIT, *shape), cv2.resize(PORTRAIT, shape, interpolation=cv2.INTER_AREA)
    )
    assert most <= 1
    assert mean < 0.01


@pytest.mark.parametrize("factor", [0.37, 0.9, 640 / 1500])
def test_shrinking_by_a_factor_is_opencvs(factor):
    wanted = cv2.resize(LARGE, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    whole = [0, 0, wanted.shape[1], wanted.shape[0]]
    found = page("picture", "shrunkPart", LARGE, whole, 1 / factor, 1 / factor)
    most, mean = apart(found, wanted)
    assert most <= 1
    assert mean < 0.01


def test_stretching_is_opencvs():
    wanted = cv2.resize(SMALL[:90], (160, 160), interpolation=cv2.INTER_LINEAR)
    most, mean = apart(page("picture", "stretched", SMALL[:90], 160, 160), wanted)
    assert most <= 1
    assert mean < 0.01


@pytest.mark.parametrize("quarters", range(4))
def test_turning_is_clockwise(quarters):
    assert np.array_equal(page("picture", "turned", PORTRAIT[:200], quarters), np.rot90(PORTRAIT[:200], -quarters))


def test_margins_are_mirrored_as_opencv_mirrors_them():
    wanted = cv2.copyMakeBorder(PORTRAIT[:99], 49, 49, 170, 170, cv2.BORDER_REFLECT_101)
    assert np.array_equal(page("picture", "padded", PORTRAIT[:99], 170, 49), wanted)


@pytest.mark.parametrize(
    ("image", "factor"), [(PORTRAIT, 1), (LARGE, 1500 / 340), (SMALL, 120 / 340)], ids=["as is", "large", "small"]
)
@pytest.mark.parametrize("roll", [0, 20, 110])
def test_the_aligned_face_is_pythons(image, factor, roll):
    turn = np.array([[np.cos(t := np.deg2rad(roll)), np.sin(t)], [-np.sin(t), np.cos(t)]])
    points = scaled(FACE, factor).landmarks.astype(np.float64)
    points = (points - points.mean(0)) @ turn + points.mean(0)
    most, mean = apart(page("align", "align", image, points, ABOUT["align"]), align(image, points))
    assert most <= 2
    assert mean < 0.01


def test_a_large_face_at_the_edge_is_pythons():
    """There the warp shows a mirror of the picture, so all of it is averaged down and not the part that is seen."""
    image, points = LARGE[250:, 500:], scaled(FACE, 1500 / 340).landmarks - np.float32((500, 250))
    most, mean = apart(page("align", "align", image, points, ABOUT["align"]), align(image, points))
    assert most <= 2
    assert mean < 0.01


def test_landmarks_in_one_point_are_refused():
    with pytest.raises(AssertionError, match="no face"):
        page("align", "align", PORTRAIT, [[5, 5]] * 5, ABOUT["align"])


@pytest.mark.parametrize(
    ("image", "factor"), [(PORTRAIT, 1), (LARGE, 1500 / 340), (SMALL, 120 / 340)], ids=["as is", "large", "small"]
)
def test_surroundings_and_room_are_pythons(image, factor):
    box = scaled(FACE, factor).box
    found = page("surroundings", "surroundings", image, list(box), ABOUT["surroundings"])
    for one, other in zip(found, surroundings(image, box), strict=True):
        most, mean = apart(one, other)
        assert most <= 1
        assert mean < 0.01
    assert page("surroundings", "room", image, list(box), [2.7, 4.0]) == pytest.approx(room(image, box))


def pictures_with_borders() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    jpeg = cv2.imencode(".jpg", cv2.copyMakeBorder(PORTRAIT, 37, 0, 21, 60, cv2.BORDER_CONSTANT, value=(9, 30, 12)))[1]
    framed = cv2.copyMakeBorder(PORTRAIT, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=(250, 250, 250))
    return [
        PORTRAIT,
        cv2.copyMakeBorder(PORTRAIT, 50, 50, 0, 0, cv2.BORDER_CONSTANT),
        cv2.imdecode(jpeg, cv2.IMREAD_COLOR),
        cv2.copyMakeBorder(framed, 40, 40, 40, 40, cv2.BORDER_CONSTANT),
        np.full((90, 120, 3), 77, np.uint8),
        rng.integers(0, 255, (60, 70, 3)).astype(np.uint8),
    ]


@pytest.mark.parametrize("number", range(6))
def test_blank_borders_are_pythons(number):
    image = pictures_with_borders()[number]
    assert tuple(page("scene", "blankBorders", image, ABOUT["scene"])) == scene.blank_borders(image)


def test_some_of_those_borders_are_there():
    assert [any(scene.blank_borders(image)) for image in pictures_with_borders()] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]


def test_the_main_face_is_pythons():
    rng = np.random.default_rng(1)
    for _ in range(6):
        faces = [
            FoundFace((*rng.uniform(0, 300, 2), *rng.uniform(20, 90, 2)), np.zeros((5, 2)), float(rng.uniform(0.8, 1)))
            for _ in range(rng.integers(1, 6))
        ]
        found = page(
            "scene", "mainFirst", [as_object(face) for face in faces], {"width": 340, "height": 340}, ABOUT["scene"]
        )
        assert [face["box"] for face in found] == [list(face.box) for face in scene.main_first(faces, (340, 340))]


@pytest.mark.parametrize("shape", [(340, 340), (300, 200), (331, 163)])
def test_the_graph_of_the_finder_is_read_as_python_reads_it(shape):
    """At sizes that strides divide and at others, where the number of anchors is rounded up."""
    image = cv2.resize(np.hstack([PORTRAIT, PORTRAIT[:, ::-1]]), shape, interpolation=cv2.INTER_AREA)
    blob = detect.as_input(image)
    names = [output.name for output in detect._retinaface_session().get_outputs()]
    arrays = dict(zip(names, detect._retinaface_session().run(None, {"input": blob}), strict=True))
    size = {"width": image.shape[1], "height": image.shape[0]}
    found = page(
        "find", "decoded", {name: each.ravel() for name, each in arrays.items()}, size, export.finder_numbers()
    )
    wanted = detect.retinaface(image)
    assert len(found) == len(wanted) >= 1
    for one, other in zip(found, wanted, strict=True):
        assert one["box"] == pytest.approx(other.box, abs=0.01)
        assert np.abs(np.subtract(one["landmarks"], other.landmarks)).max() < 0.01
        assert one["score"] == pytest.approx(other.score)


def views() -> dict[str, np.ndarray]:
    return {
        "as is": PORTRAIT,
        "dark": (PORTRAIT * 0.15).astype(np.uint8),
        "blown": np.minimum(PORTRAIT * 2.4, 255).astype(np.uint8),
        "blurred": cv2.GaussianBlur(PORTRAIT, (0, 0), 12),
        "cut": PORTRAIT[:140],
    }


@pytest.mark.parametrize("name", views())
@pytest.mark.parametrize("lean", [0, 30], ids=["straight", "aside"])
def test_the_gate_is_pythons(name, lean):
    image, points = views()[name], FACE.landmarks + np.float32([(0, 0), (0, 0), (lean, 0), (0, 0), (0, 0)])
    found = FoundFace(FACE.box, points, FACE.score)
    face = align(image, points)
    values = page("gate", "measure", image, as_object(found), face, ABOUT)
    assert values == pytest.approx(quality.measure(image, found, face), abs=0.011)
    twin = FoundFace((10, 10, *FACE.box[2:]), points, 0.95)
    reasons = page("gate", "gate", image, [as_object(found), as_object(twin)], face, ABOUT)
    wanted = quality.gate(image, [found, twin], face)
    assert [one["name"] for one in reasons] == [one.name for one in wanted]
    assert [one["limit"] for one in reasons] == [one.limit for one in wanted]
    assert [len(one["sentence"]) for one in reasons] == pytest.approx([len(one.sentence) for one in wanted], abs=3)
    assert reasons[0]["sentence"] == wanted[0].sentence  # of several faces, which is measured by counting


def test_those_views_fail_in_different_ways():
    names = [
        {one.name for one in quality.gate(image, [FACE], align(image, FACE.landmarks))} for image in views().values()
    ]
    assert names[0] == set()
    assert {"too_dark"} <= names[1]
    assert {"clipped"} <= names[2]
    assert {"too_blurred"} <= names[3]


def test_no_face_is_said_as_python_says_it():
    wanted = quality.gate(PORTRAIT, [], None)[0]
    assert page("gate", "gate", PORTRAIT, [], None, ABOUT) == [
        {"name": wanted.name, "value": wanted.value, "limit": wanted.limit, "sentence": wanted.sentence}
    ]


@pytest.mark.parametrize("liveness", [0, 0.2, 0.3, 0.7, 0.8, 1, 1.01, -0.1, None, "NaN"])
def test_decisions_are_pythons_and_what_is_no_number_is_none(liveness):
    found = page("despoof", "decide", liveness, {"attack_below": 0.3, "live_from": 0.8})
    assert found == (decide(liveness, (0.3, 0.8)) if isinstance(liveness, float | int) else "NO_DECISION")


def test_thresholds_that_are_missing_decide_nothing():
    assert page("despoof", "decide", 0.9, {}) == "NO_DECISION"
