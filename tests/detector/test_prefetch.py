"""Batches made ahead must be those made in place, in order, from any step on, however processes are started."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from despoof.detector.batches import Prefetched, make_batch
from despoof.detector.config import TINY, TINY_TRAINING
from despoof.detector.train import train
from despoof.errors import InputError
from toys import content, toys


def _make(step):
    return make_batch(toys(16, 0), TINY, TINY_TRAINING, step)


@pytest.fixture
def spawned() -> Iterator[None]:
    """Processes start anew, as on macOS, on Windows and from Python 3.14 on, and are handed only what pickles."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("first", [0, 3])
def test_workers_change_nothing(first):
    ahead = Prefetched(_make, 6, workers=2)
    for step in range(first, 6):
        for one, other in zip(ahead(step), _make(step), strict=True):
            assert torch.equal(one, other)


def test_training_hands_spawned_workers_what_pickles_and_ends_the_same(tmp_path, spawned):
    brief, sets = replace(TINY_TRAINING, steps=2), (toys(16, 1), toys(16, 2))
    alone, ahead = (train(TINY, brief, *sets, tmp_path / str(count), workers=count) for count in (0, 1))
    assert content(ahead) == content(alone)


def test_an_error_in_a_worker_arrives():
    def fail(step):
        raise InputError(f"no batch {step}")

    with pytest.raises(InputError, match="no batch 2"):
        Prefetched(fail, 6, workers=1)(2)
