"""Liveness for pipelines that find faces themselves: their boxes in, our verdict out. It only ever denies.

DeepFace (whose pipeline then refuses what is not `is_real`) and InsightFace; neither is imported here:

    objects = marked(image_bgr, DeepFace.extract_faces(image_bgr), Liveness())
    faces = only_live(image_bgr, FaceAnalysis().get(image_bgr), Liveness())
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import despoof
from despoof.clip.attempts import Admission, AttemptPolicy, admit

ONCE = AttemptPolicy(most=1, seconds=10.0)  # a picture is there or not; nobody is asked again


class Liveness:
    """Judges one named face of a picture in BGR order; weights that are missing, errors and time-outs deny.

    `load` makes the guard, at the first face: whatever it raises is a denial each time, never a crash that a caller
    might pass over.
    """

    def __init__(self, load: Callable[[], Any] = despoof.load, policy: AttemptPolicy = ONCE) -> None:
        self._load, self._policy, self._guard = load, policy, None

    def admits(self, image: np.ndarray, box: Sequence[float]) -> Admission:
        """Return LIVE only for a face that is found and live where `box` (left, top, width, height) says."""
        return admit(lambda: self._opened().check(image, bgr=True, face=box), self._policy)

    def _opened(self) -> Any:
        if self._guard is None:
            self._guard = self._load()
        return self._guard


def marked(image: np.ndarray, found: Sequence[dict], liveness: Liveness) -> list[dict]:
    """Return DeepFace's face objects with `is_real` as our verdict says; one that it called false stays so."""
    answer = []
    for each in found:
        area = each.get("facial_area") or {}
        admission = liveness.admits(image, [area.get(name) for name in ("x", "y", "w", "h")])
        answer.append({**each, "is_real": admission.is_live and each.get("is_real", True) is True,
                       "liveness_reason": admission.why})  # fmt: skip
    return answer


def only_live(image: np.ndarray, found: Sequence[Any], liveness: Liveness) -> list[Any]:
    """Return those of InsightFace's faces (`bbox`: left, top, right, bottom) that are live."""

    def live(face: Any) -> bool:
        left, top, right, bottom = map(float, face.bbox[:4])
        return liveness.admits(image, (left, top, right - left, bottom - top)).is_live

    return [face for face in found if live(face)]
