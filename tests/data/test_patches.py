"""Patches: what is changed lies in the region that is told, and the rest stays as it was."""

import numpy as np
import pytest

from despoof.data.simulation.patches import patched
from despoof.errors import InputError
from despoof.runs.seed import item_rng


def test_a_face_changes_in_the_region_alone_and_the_same_for_a_seed() -> None:
    rng = np.random.default_rng(0)
    face, other = rng.integers(60, 200, (2, 64, 64, 3)).astype(np.uint8)
    inside, outside, sizes = [], [], []
    for seed in range(60):
        changed, region = patched(face, other, item_rng(seed, "patch"))
        again, _ = patched(face, other, item_rng(seed, "patch"))
        np.testing.assert_array_equal(changed, again)
        assert changed.shape == face.shape
        assert changed.dtype == np.uint8
        by = np.abs(changed.astype(int) - face).mean(-1)
        if region.any():
            inside.append(by[region].mean())
            outside.append(by[~region].mean())
        sizes.append(region.mean())
    assert np.median(inside) > 10
    assert np.median(outside) < 1
    assert 0.005 < np.median(sizes) < 0.2


def test_faces_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="Align"):
        patched(np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint8), np.random.default_rng(0))
