"""Batches made ahead must be those made in place, in order, from any step on."""

import numpy as np
import pytest
import torch

from despoof.detector.batches import Gathered, Prefetched, make_batch
from despoof.detector.config import TINY, TINY_TRAINING
from despoof.errors import InputError


def _make(step):
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 64, 64, 3), dtype=np.uint8)
    keys = [f"s{i}" for i in range(16)]
    return make_batch(Gathered(*images, np.arange(16) % 2 == 0, np.arange(16) // 8, keys), TINY, TINY_TRAINING, step)


@pytest.mark.parametrize("first", [0, 3])
def test_workers_change_nothing(first):
    ahead = Prefetched(_make, 6, workers=2)
    for step in range(first, 6):
        for one, other in zip(ahead(step), _make(step), strict=True):
            assert torch.equal(one, other)


def test_an_error_in_a_worker_arrives():
    def fail(step):
        raise InputError(f"no batch {step}")

    with pytest.raises(InputError, match="no batch 2"):
        Prefetched(fail, 6, workers=1)(2)
