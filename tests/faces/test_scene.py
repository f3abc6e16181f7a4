"""A picture is judged alike however it is turned and whatever plain border it has; its main face is the large one."""

import cv2
import numpy as np
import pytest

from despoof.faces.align import align
from despoof.faces.detect import FoundFace, enlarged, retinaface
from despoof.faces.scene import blank_borders, look, main_first
from despoof.faces.surroundings import surroundings

BORDER = (30, 50, 71, 23)  # left, top, right, bottom


def framed(image: np.ndarray, colour: int, border: tuple[int, int, int, int] = BORDER) -> np.ndarray:
    left, top, right, bottom = border
    return np.pad(image, ((top, bottom), (left, right), (0, 0)), constant_values=colour)


def box_face(left: float, top: float, side: float, score: float = 0.99, roll: float = 0.0) -> FoundFace:
    turn = np.radians(roll)
    eye = side / 4 * np.array([np.cos(turn), np.sin(turn)])
    middle = np.array([left + side / 2, top + side / 2])
    return FoundFace((left, top, side, side), np.float32([middle - eye, middle + eye, *[middle] * 3]), score)


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_picture_is_found_upright_and_its_face_where_it_lies(portrait, turns):
    source = np.ascontiguousarray(np.rot90(portrait, turns))
    scene = look(source)
    assert scene.quarter_turns == turns
    np.testing.assert_array_equal(scene.image, portrait)
    there, main = scene.in_source(scene.faces[0]), scene.faces[0]
    sizes = main.box[2:] if turns % 2 == 0 else main.box[:1:-1]
    np.testing.assert_allclose(there.box[2:], sizes, atol=1e-4)
    same, found = (
        cv2.getRectSubPix(each, (31, 31), (box[0] + box[2] / 2, box[1] + box[3] / 2)).astype(int)
        for each, box in ((portrait, main.box), (source, there.box))
    )
    np.testing.assert_allclose(found, np.rot90(same, turns), atol=1)
    for here, place in zip(main.landmarks, there.landmarks, strict=True):
        colours = (cv2.getRectSubPix(each, (1, 1), point) for each, point in ((portrait, here), (source, place)))
        np.testing.assert_allclose(*map(np.int16, colours), atol=1)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_border_of_one_colour_leaves_no_trace(portrait, colour):
    image = portrait[:400, :420]
    plain, scene = look(image), look(framed(image, colour))
    np.testing.assert_array_equal(scene.image, image)
    assert scene.trimmed == BORDER
    np.testing.assert_array_equal(scene.faces[0].landmarks, plain.faces[0].landmarks)
    there = scene.in_source(scene.faces[0])
    np.testing.assert_allclose(there.landmarks, plain.faces[0].landmarks + BORDER[:2], atol=1e-4)


@pytest.mark.parametrize("quality", [95, 75, 40])
@pytest.mark.parametrize("colour", [0, 128, 255])
def test_jpeg_does_not_keep_a_border(portrait, colour, quality):
    image = portrait[:400, :420]
    _, data = cv2.imencode(".jpg", framed(image, colour), [cv2.IMWRITE_JPEG_QUALITY, quality])
    scene = look(cv2.imdecode(data, cv2.IMREAD_COLOR))
    assert np.abs(np.subtract(scene.trimmed, BORDER)).max() <= 2


def test_a_border_in_a_border_and_a_border_on_one_side_are_cut(portrait):
    image = portrait[100:300, 100:300]
    assert blank_borders(framed(framed(image, 0), 200)) == tuple(2 * side for side in BORDER)
    assert blank_borders(framed(image, 0, (0, 0, 40, 0))) == (0, 0, 40, 0)
    assert blank_borders(image) == (0, 0, 0, 0)


def test_a_thin_frame_and_jpeg_save_no_border_in_a_border(portrait):
    image = portrait[100:300, 100:300]
    nested = framed(framed(framed(image, 0), 255), 90, (3, 3, 3, 3))
    _, data = cv2.imencode(".jpg", nested, [cv2.IMWRITE_JPEG_QUALITY, 75])
    wanted = [2 * side + 3 for side in BORDER]
    assert blank_borders(nested) == tuple(wanted)
    assert np.abs(np.subtract(blank_borders(cv2.imdecode(data, cv2.IMREAD_COLOR)), wanted)).max() <= 2


def test_noise_is_no_border_and_a_blank_picture_stays_whole(portrait):
    noisy = framed(portrait, 20).astype(int) + np.random.default_rng(0).normal(0, 3, (585, 613, 3)).round().astype(int)
    assert blank_borders(noisy.clip(0, 255).astype(np.uint8)) == (0, 0, 0, 0)
    for image in (np.zeros((90, 120, 3), np.uint8), framed(portrait[100:120, 200:220], 0)):
        scene = look(image)
        assert (scene.trimmed, scene.faces, scene.quarter_turns) == ((0, 0, 0, 0), [], 0)
        np.testing.assert_array_equal(scene.image, image)


def test_a_dark_room_keeps_the_face_and_what_is_seen_of_it(portrait):
    """A head lit in the middle of real black: what is cut holds nothing, what is judged is the same."""
    y, x = np.mgrid[:512, :512]
    lit = np.exp(-(((x - 225) / 110.0) ** 4 + ((y - 130) / 120.0) ** 4))[..., None]
    dark = (portrait * lit).astype(np.uint8)
    scene = look(dark)
    assert sum(scene.trimmed) > 200
    left, top, right, bottom = scene.trimmed
    gone = dark.astype(int).copy()
    gone[top : 512 - bottom, left : 512 - right] = 0
    assert gone.max() <= 40
    assert (gone > 6).mean() < 0.03
    main, wanted = scene.in_source(scene.faces[0]), look(portrait).faces[0]
    assert np.abs(main.landmarks - wanted.landmarks).max() < 6


def test_the_main_face_is_the_large_one_whatever_the_scores():
    small, large = box_face(100, 100, 40, 0.999), box_face(300, 100, 90, 0.93)
    assert main_first([small, large], (400, 600)) == [large, small]
    pattern = box_face(0, 0, 200, 0.82)
    assert main_first([small, pattern, large], (400, 600)) == [large, pattern, small]
    assert main_first([pattern], (400, 600)) == [pattern]
    assert main_first([], (400, 600)) == []


def test_of_faces_of_like_size_the_central_one_is_the_main():
    aside, central = box_face(10, 100, 100, 0.999), box_face(260, 150, 90, 0.95)
    assert main_first([aside, central], (400, 600)) == [central, aside]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_people_on_their_side_or_head_are_set_upright(people, turns):
    """The search finds most of them as they are, leaning by 43 to 176 degrees at scores up to .999."""
    right = sum(look(np.ascontiguousarray(np.rot90(image, turns))).quarter_turns == turns for image in people)
    assert right >= len(people) - 1


def test_which_turn_is_taken():
    image = np.random.default_rng(0).integers(0, 256, (100, 140, 3), dtype=np.uint8)

    def turned(*faces: FoundFace) -> int:
        """Return the turn that is taken where these are found: as it comes and after one, two and three turns."""
        script = iter(faces)
        return look(image, lambda small: [next(script)]).quarter_turns

    good, doubtful, leaning = (box_face(20, 20, 40, *each) for each in ((0.999,), (0.97,), (0.999, 60.0)))
    assert turned(good) == 0  # and nothing else is searched
    assert turned(doubtful, good, doubtful, doubtful) == 1
    assert turned(doubtful, leaning, doubtful, box_face(20, 20, 40, 0.96)) == 0
    assert turned(box_face(20, 20, 40, 0.999, 30.0), leaning, doubtful, good) == 0  # the first of the surest
    assert turned(leaning, leaning, doubtful, leaning) == 2
    assert turned(leaning, leaning, leaning, leaning) == 0  # as it came


def test_the_turn_can_be_said():
    image = np.random.default_rng(0).integers(0, 256, (100, 140, 3), dtype=np.uint8)
    shapes = []
    scene = look(image, lambda small: shapes.append(small.shape) or [box_face(20, 20, 40)], quarter_turns=1)
    assert shapes == [(140, 100, 3)]
    np.testing.assert_array_equal(scene.image, np.rot90(image, -1))


def test_face_and_surroundings_of_a_framed_sideways_picture_are_those_of_the_plain_one(portrait):
    image = portrait[:400, :420]
    scenes = [look(image), look(framed(np.rot90(image, 3), 255))]
    faces = [align(scene.image, scene.faces[0].landmarks) for scene in scenes]
    around = [surroundings(scene.image, scene.faces[0].box) for scene in scenes]
    np.testing.assert_array_equal(*faces)
    np.testing.assert_array_equal(*around)


def test_where_people_are_small_all_of_them_are_looked_for(portrait):
    """A search that barely sees one of two people would pass for a picture of that one alone."""
    frame = np.random.default_rng(0).integers(90, 130, (480, 640, 3), dtype=np.uint8)
    head = cv2.resize(portrait[:300, 80:380], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    frame[100:250, 60:210], frame[110:260, 400:550] = head, head
    once = look(frame).faces[0]  # 22 px between the eyes, 11 in the first search

    def find(image: np.ndarray) -> list[FoundFace]:
        if image.shape[1] == 640:
            return retinaface(image)
        return [enlarged(once, 0.5)] if image.shape[1] == 320 else []

    assert len(look(frame).faces) == 2
    assert len(look(frame, find).faces) == 2
