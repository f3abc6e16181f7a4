"""What is learned does not depend on where pixels lie: store or shards, memory, disk or elsewhere. Another order of
rows, or a mirrored part of a set, would still learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from despoof.detector.batches import Picked, chosen, gather, gathered_hash, in_memory
from despoof.detector.config import TINY, TINY_TRAINING, DetectorRecipe
from despoof.detector.recipe import train_on_store
from despoof.faces.shards import write_shards
from despoof.faces.store import Store
from toys import content, toy_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    return toy_store(tmp_path_factory.mktemp("store"))


def test_pixels_mapped_from_disk_are_those_of_memory(made: tuple[Store, Path], tmp_path: Path) -> None:
    store, counterparts = made
    config = replace(TINY, branches=("near",), statistics=(4,))
    whole = gather(store, store.rows, config, counterparts)
    kept = gather(store, store.rows, config, counterparts, tmp_path)
    assert isinstance(kept.faces, np.memmap)
    assert isinstance(kept.surroundings, np.memmap)
    assert gathered_hash(kept) == gathered_hash(whole)
    picks = np.array([40, 3, 3, 17])
    some, others = chosen(kept, picks), chosen(whole, picks)
    assert isinstance(some.counterparts, Picked)
    assert gathered_hash(some) == gathered_hash(others)
    assert gathered_hash(chosen(some, np.array([2, 0]))) == gathered_hash(chosen(others, np.array([2, 0])))
    again = in_memory(some)
    assert type(again.faces[:]) is not Picked
    for i in range(4):
        assert np.array_equal(some.faces[i], others.faces[i])
    assert np.array_equal(np.stack(list(some.surroundings[:, 1])), others.surroundings[:, 1])


def test_a_detector_is_the_same_from_store_and_shards_memory_and_disk(made: tuple[Store, Path], tmp_path: Path) -> None:
    store, counterparts = made
    recipe = DetectorRecipe(TINY, replace(TINY_TRAINING, steps=3))
    shards, elsewhere = (Store(write_shards(store, to, rows=32)) for to in (tmp_path / "shards", "memory://scratch/s"))
    trained = {
        "memory": train_on_store(recipe, store, counterparts, tmp_path / "a"),
        "disk": train_on_store(recipe, store, counterparts, tmp_path / "b", scratch=tmp_path / "scratch"),
        "shards": train_on_store(recipe, shards, counterparts, tmp_path / "c", scratch=tmp_path / "other"),
        "elsewhere": train_on_store(recipe, elsewhere, counterparts, tmp_path / "d", scratch=tmp_path / "third"),
    }
    found = {name: content(detector) for name, detector in trained.items()}
    assert found["disk"] == found["memory"]
    assert found["shards"] == found["elsewhere"] == found["memory"]
    files = [(tmp_path / name / "detector.safetensors").read_bytes() for name in "abcd"]
    assert files[0] == files[1] == files[2] == files[3]
