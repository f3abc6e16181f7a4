"""Real faces of several sources go one way to a generator: whatever size and coding the files have, a face is the same
at the size that is learned from. A filter of its own for large or for coded files would make a source tell itself."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from despoof.data.image import read_image
from despoof.faces.align import TEMPLATE, align, as_tensor


@pytest.fixture
def picture() -> np.ndarray:
    """A picture (640, 640, 3) whose energy falls with frequency as a photograph's does; a face would fill it."""
    rng = np.random.default_rng(0)
    sizes = {5: 30, 20: 30, 80: 20, 320: 8}  # patches a side: grey levels
    layers = [
        cv2.resize(rng.normal(0, size, (n, n, 3)), (640, 640), interpolation=cv2.INTER_CUBIC)
        for n, size in sizes.items()
    ]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def face_from(file: Path, size: int) -> torch.Tensor:
    image = read_image(file)
    landmarks = (TEMPLATE * 256 + 0.5) * len(image) / 256 - 0.5  # the middle of the first pixel is (0, 0)
    return as_tensor(align(image, landmarks)[None], size)[0]


def sharpness(face: torch.Tensor) -> float:
    """Return the energy of the finest detail."""
    return float(sum(face.diff(n=2, dim=axis).square().mean() for axis in (1, 2)))


@pytest.mark.parametrize(("side", "name"), [(640, "large.png"), (640, "large.jpg"), (260, "small.jpg")])
def test_a_source_shows_in_no_sharpness_at_the_size_that_is_learned_from(
    picture: np.ndarray, tmp_path: Path, side: int, name: str
) -> None:
    """The eyes of the smallest are 81 px apart, as in the coarser of the sources that what ships learned from."""
    first, second = tmp_path / "first.png", tmp_path / name
    Image.fromarray(picture).resize((256, 256), Image.Resampling.BOX).save(first)
    Image.fromarray(picture).resize((side, side), Image.Resampling.BOX).save(second, quality=90, subsampling=0)
    one, other = face_from(first, 128), face_from(second, 128)
    assert (one - other).abs().mean() * 127.5 < 4
    assert 0.75 < sharpness(other) / sharpness(one) < 1.34


def test_unlike_sources_do_show_before_they_are_shrunk(picture: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(picture).save(tmp_path / "large.png")
    Image.fromarray(picture).resize((180, 180), Image.Resampling.BOX).save(tmp_path / "small.png")
    large, small = (face_from(tmp_path / name, 256) for name in ("large.png", "small.png"))
    assert sharpness(small) / sharpness(large) < 0.5
