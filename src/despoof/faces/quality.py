"""Is a face good enough to judge: measured values against limits. Refused is not an attack."""

import cv2
import numpy as np

from despoof.faces.detect import FoundFace


def measure(image: np.ndarray, found: FoundFace, face: np.ndarray) -> dict[str, float]:
    """Return the measured values of one face by name."""
    left, right = found.landmarks[0], found.landmarks[1]
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    return {
        "eye_distance": round(float(np.hypot(*(right - left))), 2),
        "sharpness": round(float(cv2.Laplacian(grey, cv2.CV_64F).var()), 2),
        "luma": round(float(grey.mean()), 2),
    }
