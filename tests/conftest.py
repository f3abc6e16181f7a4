"""What many tests need: one thread, a public-domain portrait, seeded variations of it, the shared data folder."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and onnxruntime are imported

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
cv2.setNumThreads(1)

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """Eileen Collins, NASA, public domain: (512, 512, 3) uint8 RGB with one face near (177, 65)-(273, 183)."""
    from skimage.data import astronaut

    image = astronaut()
    image.flags.writeable = False  # one array for all tests
    return image


@pytest.fixture(scope="session")
def people(portrait: np.ndarray) -> list[np.ndarray]:
    """Eight pictures (240, 240, 3) uint8 for tiny stores: head and shoulders in seeded colours and poses."""
    return [_varied(portrait, np.random.default_rng(seed)) for seed in range(8)]


def _varied(portrait: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((224, 125), rng.uniform(-8, 8), rng.uniform(1.0, 1.3))
    matrix[:, 2] += (120 - 224, 120 - 125)
    head = cv2.warpAffine(portrait, matrix, (240, 240), borderMode=cv2.BORDER_REFLECT_101)
    tinted = 255 * (head / 255.0) ** rng.uniform(0.7, 1.4) * rng.uniform(0.8, 1.1, 3)
    return np.clip(tinted, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real captures beside the repository; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("no folder `shared` beside the repository: real captures are not shipped")
    return SHARED.resolve()
