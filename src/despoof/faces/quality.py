"""Is a face good enough to judge: measured values against limits. Refused is not an attack.

`measure` gives every value of one face, `gate` says which of them are beyond their limit and what to do.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from despoof.faces.detect import FoundFace
from despoof.faces.scene import LIKE_SIZE, SURE, like_size
from despoof.faces.surroundings import room

# A head's shape, in distances between the eyes: how far the nose tip stands before the plane of eyes and mouth,
# how far below the eyes the mouth lies, and where between the two the nose lies as a share, seen from the front.
# The last two are medians of this package's detector over 3,300 faces; the first is 3 cm over 6.3 cm.
NOSE_DEPTH = 0.5
MOUTH_DROP = 1.05
NOSE_SHARE = 0.52

CHECKS = (  # name, measured value, limit, what to say
    ("too_small", "eye_distance", "eye_distance", "The face is too small. Come closer."),
    ("too_blurred", "sharpness", "sharpness", "The face is blurred. Hold still, clean the lens."),
    ("too_dark", "luma", "dark", "The face is too dark. Turn to the light."),
    ("too_bright", "luma", "bright", "The face is too bright. Leave the direct light."),
    ("clipped", "clipped", "clipped", "Black or white hides the face. Use even light."),
    ("extreme_yaw", "yaw", "yaw", "The head is turned aside. Look at the camera."),
    ("extreme_pitch", "pitch", "pitch", "The head is tilted up or down. Level it."),
    ("at_border", "margin", "margin", "The border cuts the face. Move it to the middle."),
)
AT_LEAST = {"too_small", "too_blurred", "too_dark", "at_border"}  # the limit is the least allowed; of others the most


@dataclass(frozen=True)
class QualityLimits:
    """Beyond these a face is not judged.

    Each lies where judging gets worse, or, where it does not, so far out that hardly an attack was measured beyond
    (at most 13 of 4,600): nothing is known there. Cross-fitted errors by measured value: docs/studies/gate.md.
    """

    eye_distance: float = 20.0  # px; live faces of 20 to 40 err in 18 % and attacks pass in 8 %: no more than others
    sharpness: float = 2.0  # on the 256 px face; a small face enlarged is soft too, and attacks so soft pass less
    dark: float = 35.0  # mean luma; attacks pass ever more in the dark, all three below this
    bright: float = 220.0  # mean luma
    clipped: float = 0.2  # share of the face at black or white; beyond, 39 of 44 live faces are taken for attacks
    yaw: float = 60.0  # degrees; a profile of which the landmarks still say where it is
    pitch: float = 45.0  # degrees
    margin: float = -0.5  # from eyes and mouth to the border, in eye distances; below 0 one of them is cut off
    second_area: float = LIKE_SIZE  # another face counts from this share of the main one's area; less is a passer-by
    second_score: float = SURE  # and from this score, so that a pattern in the background does not


@dataclass(frozen=True)
class Reason:
    """One failed check: its name, the measured value and limit, if it has any, and a sentence with the next step."""

    name: str
    value: float | None
    limit: float | None
    sentence: str


def pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Return (yaw, pitch, roll) in degrees, estimated from five landmarks (5, 2).

    With eyes e1, e2, their middle e, the mouth's middle m, the nose n, and D = |e2 - e1|, under weak perspective:

        roll  = atan2 of e2 - e1                                positive = turned clockwise in the picture
        yaw   = atan(x / (NOSE_DEPTH D))                        positive = nose to the right of the picture
        pitch = atan((NOSE_SHARE - s) MOUTH_DROP / NOSE_DEPTH)  positive = looking up

    x is the nose's distance from the line e-m along the eyes, s its height on that line as a share, both after
    the roll is taken out: a nose of depth d before the plane moves by d sin(yaw) while the plane shrinks by
    cos(yaw). Rough: good to tell a turned head from a straight one, not to measure it.
    """
    points = np.asarray(landmarks, np.float64)
    eyes = points[1] - points[0]
    roll = np.arctan2(eyes[1], eyes[0])
    across = np.array([np.cos(roll), np.sin(roll)])
    down = np.array([-across[1], across[0]])
    middle = points[:2].mean(0)
    axis, nose = points[3:].mean(0) - middle, points[2] - middle
    drop = axis @ down
    share = nose @ down / drop if drop > 0 else 0.0  # a mouth above the eyes is no pose; it fails the limit
    offset = (nose - share * axis) @ across
    yaw = np.arctan2(offset, NOSE_DEPTH * max(np.hypot(*eyes), 1e-6))
    pitch = np.arctan((NOSE_SHARE - share) * MOUTH_DROP / NOSE_DEPTH) if drop > 0 else np.pi / 2
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def measure(image: np.ndarray, found: FoundFace, face: np.ndarray) -> dict[str, float]:
    """Return the measured values of one face (H, W, 3) uint8, found in an image, by name."""
    distance = found.eye_distance
    yaw, pitch, roll = pose(found.landmarks)
    x, y = np.asarray(found.landmarks, np.float64).T
    space = min(x.min(), y.min(), image.shape[1] - 1 - x.max(), image.shape[0] - 1 - y.max())
    look = appearance(face)
    values = {
        "eye_distance": distance,
        "sharpness": look["sharpness"],
        "luma": look["luma"],
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
    }
    fine = {
        "margin": float(space / max(distance, 1e-6)),
        "clipped": look["clipped"],
        "room": room(image, found.box),
    }
    return {k: round(v, 2) for k, v in values.items()} | {k: round(v, 3) for k, v in fine.items()}


def appearance(face: np.ndarray) -> dict[str, float]:
    """Return sharpness, luma and the share of black or white of a face (H, W, 3) uint8; sharpness is of that size."""
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    return {
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        "luma": float(grey.mean()),
        "clipped": float(((grey <= 2) | (grey >= 253)).mean()),
    }


def gate(
    image: np.ndarray,
    found_faces: list[FoundFace],
    face: np.ndarray | None,
    limits: QualityLimits | None = None,
) -> list[Reason]:
    """Return every reason not to judge; an empty list means good.

    `found_faces` are those of the whole image (H, W, 3) uint8, the main one first, see `faces.scene.look`; `face` is
    that one aligned, or None where there is none.
    """
    limits = limits or QualityLimits()
    if not found_faces or face is None:
        return [Reason("no_face", 0, 1, "No face was found. Look straight at the camera in even light.")]
    values = measure(image, found_faces[0], face)
    return _several(found_faces, limits) + beyond(values, limits)


def counted(found_faces: list[FoundFace], limits: QualityLimits) -> list[FoundFace]:
    """Return the main face, which is the first, and those too large and sure for a passer-by or a poster."""
    return found_faces[:1] + [
        face
        for face in found_faces[1:]
        if face.score >= limits.second_score and like_size(face, found_faces[0], limits.second_area)
    ]


def _several(found_faces: list[FoundFace], limits: QualityLimits) -> list[Reason]:
    count = len(counted(found_faces, limits))
    sentence = f"{count} faces are in the picture. Take it with one person alone."
    return [Reason("several_faces", count, 1, sentence)] if count > 1 else []


def beyond(values: dict[str, float], limits: QualityLimits) -> list[Reason]:
    """Return a reason for each of the measured values of a face, see `measure`, that is beyond its limit."""
    found = []
    for name, measured, limit_name, sentence in CHECKS:
        value = abs(values[measured]) if name.startswith("extreme") else values[measured]
        limit = getattr(limits, limit_name)
        good = value >= limit if name in AT_LEAST else value <= limit  # NaN is neither
        if not good:
            found.append(Reason(name, value, limit, f"{sentence} Measured {value:g}, limit {limit:g}."))
    return found
