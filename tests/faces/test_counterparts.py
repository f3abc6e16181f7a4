"""Counterparts on disk: nothing whole is lost and nothing damaged is read, whatever is killed, cut or flipped;
a cache that trusts a half-written file would hand a wrong cue to every detector after it."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from despoof.data.sample import Label, Sample, Split
from despoof.errors import ArtefactError
from despoof.faces.align import as_image, as_tensor, face_hash
from despoof.faces.counterparts import CounterpartCache, counterpart_size, fill, read_counterparts
from despoof.faces.store import Store, StoredSample
from despoof.generator.config import TINY
from despoof.generator.reconstruct import Source, reconstruct, reconstruct_in
from despoof.generator.registry import LatentDiffusion, save_generator
from despoof.runs.pool import Pool

FACES = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
BATCHES = [list(range(first, first + 3)) for first in range(0, 60, 3)]
ABOUT = {"generator": "x", "start_step": 1, "salt": 0, "size": 8}


def negative(faces: np.ndarray) -> np.ndarray:
    return 255 - faces


def fill_all(folder: Path, make=negative) -> CounterpartCache:
    cache = CounterpartCache(folder, ABOUT)
    fill(cache, BATCHES, lambda batch: FACES[batch], make, title="fill")
    return cache


def assert_whole(folder: Path) -> None:
    held = CounterpartCache(folder).read(face_hash(face) for face in FACES)
    assert all(np.array_equal(held[face_hash(face)], 255 - face) for face in FACES)


def start_writer(folder: Path, pause: float) -> int:
    """Fill in a child process, slowly; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        fill_all(folder, lambda faces: (time.sleep(pause), negative(faces))[1])
    finally:
        os._exit(0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    draw, seen, killed = random.Random(0), set(), 0
    for _ in range(100):
        if len(seen) == len(FACES):  # full: begin another folder, so that every kill meets a busy writer
            assert_whole(tmp_path)
            for path in tmp_path.iterdir():
                path.unlink()
            seen = set()
        child = start_writer(tmp_path, 0.001)
        time.sleep(draw.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        cache = CounterpartCache(tmp_path)
        assert not cache.damaged()
        assert cache.known() >= seen
        seen = cache.known()
    assert killed > 50  # the others had just finished
    fill_all(tmp_path)
    assert_whole(tmp_path)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_writers_side_by_side_fill_one_folder(tmp_path: Path) -> None:
    for child in [start_writer(tmp_path, 0.002) for _ in range(3)]:
        assert os.waitpid(child, 0)[1] == 0
    assert_whole(tmp_path)
    assert not CounterpartCache(tmp_path).damaged()


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_shard_is_seen_and_made_again(tmp_path: Path, harm: str) -> None:
    fill_all(tmp_path)
    path = sorted(tmp_path.glob("shard-*"))[7]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    cut = bytes(path.read_bytes())[: len(data) // 2]
    path.write_bytes({"cut": cut, "flip": bytes(data), "empty": b"", "foreign": b"\x89PNG"}[harm])
    cache = CounterpartCache(tmp_path)
    assert cache.damaged() == [path]
    assert len(cache.known()) == len(FACES) - 3
    made = []
    fill_all(tmp_path, lambda faces: (made.append(len(faces)), negative(faces))[1])
    assert made == [3]
    assert_whole(tmp_path)


def test_nothing_is_made_twice_and_equal_faces_share(tmp_path: Path) -> None:
    cache, made = CounterpartCache(tmp_path, ABOUT), []

    def counted(faces: np.ndarray) -> np.ndarray:
        made.append(len(faces))
        return negative(faces)

    for _ in range(2):
        fill(cache, [[0, 1, 0], [1, 2]], lambda batch: FACES[batch], counted, title="fill")
    assert sum(made) == 3


def test_another_makers_folder_is_refused(tmp_path: Path) -> None:
    CounterpartCache(tmp_path, ABOUT)
    with pytest.raises(ArtefactError, match="start_step"):
        CounterpartCache(tmp_path, ABOUT | {"start_step": 2})


def test_addresses_tell_shape_and_pixels_apart() -> None:
    flat = np.zeros((4, 4, 3), np.uint8)
    other = flat.copy()
    other[0, 0, 0] = 1
    assert len({face_hash(flat), face_hash(other), face_hash(flat.reshape(2, 8, 3))}) == 3
    assert face_hash(flat) == face_hash(np.asfortranarray(flat))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store", about={"size": 256})
    for number in range(5):
        sample = Sample(f"{number}.png", Label.LIVE, "none", f"s{number}", "a", Split.TRAIN)
        face = np.random.default_rng(number).integers(0, 256, (256, 256, 3), np.uint8)
        opened.add(StoredSample(sample, "face", landmarks=[[0.0, 0.0]] * 5), face)
    return opened


def test_reconstruct_writes_what_the_generator_makes(store: Store) -> None:
    generator = LatentDiffusion(TINY).eval()
    folder = reconstruct(store, generator, batch=2)
    assert folder.name == f"{generator.name}-t501"
    assert counterpart_size(folder) == 64
    faces = store.faces(store.rows, 64)
    expected = [as_image(one) for one in generator.counterpart(as_tensor(faces, 64))]
    got = read_counterparts(folder, store.rows, 64)
    assert np.abs(got.astype(int) - np.stack(expected)).max() <= 1  # batches round differently
    assert np.array_equal(read_counterparts(folder, store.rows[1:3], 64, faces=faces[1:3]), got[1:3])
    assert reconstruct(store, generator, salt=1) != folder


def test_an_interrupted_reconstruction_names_the_next_step(store: Store) -> None:
    generator = LatentDiffusion(TINY).eval()
    folder = reconstruct(store, generator, batch=2)
    path = sorted(folder.glob("shard-*"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtefactError, match=f"{path.name}.*Run `despoof reconstruct` again"):
        read_counterparts(folder, store.rows, 64)
    reconstruct(store, generator, batch=2)
    assert read_counterparts(folder, store.rows, 64).shape == (5, 64, 64, 3)


def test_workers_make_the_same_counterparts(store: Store, tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = LatentDiffusion(TINY).eval()
    save_generator(tmp_path / "generator.safetensors", generator)
    source, made = Source(str(tmp_path / "generator.safetensors")), []
    for work in (
        lambda: reconstruct_in(Pool(workers=2), store, source, batch=1),
        lambda: reconstruct(store, source.open(), batch=1),
    ):
        folder = work()
        names = sorted(path.name for path in folder.glob("shard-*"))
        made.append((names, read_counterparts(folder, store.rows, 64).tobytes()))
        shutil.rmtree(folder)
    assert len(made[0][0]) == 5
    assert made[0] == made[1]
