"""A picture as it came -> `Scene`: without blank borders, upright, with its faces, the main one first.

A border of one colour (letterbox, bezel, padding) says nothing of the face, and whoever shows a picture chooses it: it
is cut off before anything looks, so that it cannot sway the verdict.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import hypot

import numpy as np

from despoof.data.image import MIN_SIDE
from despoof.faces.detect import FindFaces, FoundFace, enlarged, find_large, find_small, searched_at

FLAT = 3  # grey levels by which nearly all pixels of a blank row or column are off its median, at most, per channel
FLAT_SHARE = 0.95  # of a blank row's or column's pixels: a logo or corner may meet it
FRINGE = 16  # px: how far JPEG, by its blocks, carries the picture into a border
FRINGE_LEVELS = 24  # at qualities of 30 and more, nine tenths of a row in the fringe stay so near the border's colour
FRINGE_SHARE = 0.9  # those nine tenths
SAMPLED = 128  # pixels of a row or column that are looked at, at least, where it has as many
UPRIGHT = 45.0  # degrees of roll up to which a face is upright
# A search meant for upright heads also answers to sideways and inverted ones, with landmarks that lean too little, but
# with lower scores, and with eyes too near each other for the box. So a face that leans more, or is less sure, or whose
# eyes are nearer than this is taken only if no other turn is surer. Of 2,919 captures turned by a quarter, a half and
# three quarters 1.2 % are taken as they are, and 16 % by the roll alone; 5.8 % of 973 upright ones are searched four
# times (by roll and a score of .995 alone: 1.0 and 9.5 %).
AT_ONCE_ROLL, AT_ONCE_SCORE, AT_ONCE_EYES = 25.0, 0.98, 0.34  # the last in widths of the box
ALONE_FROM = 16.0  # px between the eyes in the first search, from which it would have seen others as large
SURE = 0.9  # detection score from which a face is one, and not a pattern that resembles one
LIKE_SIZE = 0.4  # share of the largest face's area: someone half as far again from the camera has 1 / 1.5^2 = .44


@dataclass(frozen=True)
class Scene:
    """What is to be judged of a picture.

    `image` is (H, W, 3) uint8 RGB, upright, without blank borders; `faces` lie in it, the main one first, [] if none.
    `quarter_turns` (0..3, clockwise) made it upright; `trimmed` is left, top, right, bottom px that were cut off first.
    A px of all these spans `spanned` px of the picture as it came each way, see `despoof.data.image.readings`.
    """

    image: np.ndarray
    faces: list[FoundFace]
    quarter_turns: int
    trimmed: tuple[int, int, int, int]
    spanned: int = 1

    def in_source(self, face: FoundFace) -> FoundFace:
        """Return a face of this scene where it lies in the picture as it came; landmarks keep their order."""
        height, width = self.image.shape[:2]
        for _ in range(self.quarter_turns):
            face, height, width = _turned_back(face, width), width, height
        left, top = self.trimmed[:2]
        x, y, *size = face.box
        there = FoundFace((x + left, y + top, *size), face.landmarks + np.float32((left, top)), face.score)
        return there if self.spanned == 1 else enlarged(there, self.spanned)


def look(image: np.ndarray, find: FindFaces | None = None, *, quarter_turns: int | None = None) -> Scene:
    """Trim, turn upright and find faces in (H, W, 3) uint8 RGB; `find` is the search of one picture.

    Unless a face stands upright beyond doubt, all quarter turns are tried, and the one whose main face is upright and
    surest is taken; the picture stays as it is where none has such. Small faces are looked for last, and only in that
    turn. `quarter_turns` says the turn; no other is tried.
    """
    trimmed = blank_borders(image)
    left, top, right, bottom = trimmed
    image = image[top : image.shape[0] - bottom, left : image.shape[1] - right]
    scene = _scene(image, find, quarter_turns or 0, trimmed)
    if quarter_turns is None and not _beyond_doubt(scene):
        turned = [scene, *(_scene(image, find, turns, trimmed) for turns in (1, 2, 3))]
        scene = max(filter(_upright, turned), key=lambda each: each.faces[0].score, default=scene)
    shrunk = min(1.0, searched_at(scene.image) / max(scene.image.shape[:2]))
    if any(face.eye_distance * shrunk >= ALONE_FROM for face in scene.faces):
        return scene
    small = main_first(find_small(scene.image, find), scene.image.shape)
    return replace(scene, faces=small) if len(small) > len(scene.faces) else scene


def blank_borders(image: np.ndarray) -> tuple[int, int, int, int]:
    """Return how many px at left, top, right and bottom of (H, W, 3) uint8 are blank, with the fringe of JPEG.

    A few other lines before or between blank ones (a thin frame, where two colours meet) go with them.
    A picture of which less than `MIN_SIDE` would be left is blank as a whole, or holds no face, and keeps all.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = 0, 0, 0, 0
    while True:
        rest = image[top : height - bottom, left : width - right]
        cut = [_blank(lines) for lines in (rest.swapaxes(0, 1), rest, rest[:, ::-1].swapaxes(0, 1), rest[::-1])]
        if not any(cut):
            return left, top, right, bottom
        left, top, right, bottom = left + cut[0], top + cut[1], right + cut[2], bottom + cut[3]
        if min(width - left - right, height - top - bottom) < MIN_SIDE:
            return 0, 0, 0, 0


def main_first(faces: list[FoundFace], shape: tuple[int, ...]) -> list[FoundFace]:
    """Return faces of an image of this shape (H, W, ...), the main one first, the others by size.

    The main one is the most central of those of like size to the largest; one below `SURE` only where all are.
    """
    if not faces:
        return []
    sure = [face for face in faces if face.score >= SURE] or faces
    largest = max(sure, key=area)
    main = min((face for face in sure if like_size(face, largest)), key=lambda face: _off_centre(face, shape))
    return [main, *sorted((face for face in faces if face is not main), key=lambda face: -area(face))]


def like_size(face: FoundFace, largest: FoundFace, share: float = LIKE_SIZE) -> bool:
    """Say whether a face is at least a share of the largest one's area."""
    return area(face) >= share * area(largest)


def area(face: FoundFace) -> float:
    """Return the area of a face's box in px."""
    return face.box[2] * face.box[3]


def roll(face: FoundFace) -> float:
    """Return how far the line through the eyes is turned clockwise, in degrees."""
    across, down = np.subtract(face.landmarks[1], face.landmarks[0], dtype=np.float64)
    return float(np.degrees(np.arctan2(down, across)))


def _upright(scene: Scene) -> bool:
    return bool(scene.faces) and abs(roll(scene.faces[0])) <= UPRIGHT


def _beyond_doubt(scene: Scene) -> bool:
    if not scene.faces:
        return False
    main = scene.faces[0]
    eyes = main.eye_distance / max(main.box[2], 1e-6)
    return abs(roll(main)) <= AT_ONCE_ROLL and main.score >= AT_ONCE_SCORE and eyes >= AT_ONCE_EYES


def _scene(image: np.ndarray, find: FindFaces | None, turns: int, trimmed: tuple[int, int, int, int]) -> Scene:
    image = np.ascontiguousarray(np.rot90(image, -turns))
    return Scene(image, main_first(find_large(image, find), image.shape), turns, trimmed)


def _turned_back(face: FoundFace, width: int) -> FoundFace:
    """Return a face of an image of this width as it lies once that is turned counter-clockwise by a quarter."""
    x, y, across, down = face.box
    points = np.stack([face.landmarks[:, 1], width - 1 - face.landmarks[:, 0]], 1)
    return FoundFace((y, width - 1 - x - across, down, across), points, face.score)


def _off_centre(face: FoundFace, shape: tuple[int, ...]) -> float:
    x, y, width, height = face.box
    return hypot(x + width / 2 - shape[1] / 2, y + height / 2 - shape[0] / 2)


def _blank(lines: np.ndarray) -> int:
    """Return how many of the first lines (N, L, 3) are blank: to the last blank one, past others that are few."""
    lines = lines[:, :: max(1, lines.shape[1] // SAMPLED)]
    count = 0
    for n, flat in enumerate(_flat(lines)):
        if flat:
            count = n + 1
        elif n + 1 - count >= FRINGE:
            break
    if count in (0, len(lines)):
        return count
    near = _share_near(lines[count : count + FRINGE], np.median(lines[count - 1], 0), FRINGE_LEVELS) >= FRINGE_SHARE
    return count + (len(near) if near.all() else int(near.argmin()))


def _flat(lines: np.ndarray) -> Iterator[bool]:
    for start in range(0, len(lines), FRINGE):
        block = lines[start : start + FRINGE]
        yield from _share_near(block, np.median(block, 1, keepdims=True), FLAT) >= FLAT_SHARE


def _share_near(lines: np.ndarray, colours: np.ndarray, levels: int) -> np.ndarray:
    """Return the share (N,) of the pixels of each line (N, L, 3) that are no further from its colour."""
    return (np.abs(lines - colours) <= levels).all(-1).mean(-1)
