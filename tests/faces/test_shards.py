"""Shards are the store in a few files: a row or a pixel less would go unseen, as the rest trains as well."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.faces import shards
from despoof.faces.shards import write_shards
from despoof.faces.store import Store, StoredSample

ABOUT = {"face_size": 256, "version": 3}


def fill(store: Store, numbers: range) -> None:
    """Add rows of noise; every fifth has no face, every third no surroundings."""
    for number in numbers:
        rng, found = np.random.default_rng(number), number % 5 > 0
        label = Label.LIVE if number % 2 else Label.ATTACK
        sample = Sample(f"{number}.png", label, domain=f"d{number % 2}", source="/x", labels=(("light", "dim"),))
        face = rng.integers(0, 255, (1, 1, 3), np.uint8).repeat(256, 0).repeat(256, 1) if found else None
        around = rng.integers(0, 255, (2, 1, 160, 3), np.uint8).repeat(160, 1) if found and number % 3 else None
        store.add(StoredSample(sample, "face" if found else "no_face", quality={"luma": 1.5}), face, around)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", about=ABOUT)
    fill(store, range(75))
    return store


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_store_comes_back_row_for_row_and_pixel_for_pixel(store: Store, tmp_path: Path) -> None:
    opened = Store(write_shards(store, tmp_path / "shards", rows=32))
    assert len(list((tmp_path / "shards").glob("shard-*.parquet"))) == 3
    assert opened.rows == store.rows
    assert opened.about == store.about
    rows = store.with_face()
    assert Store.data_hash(opened.rows) == Store.data_hash(store.rows)
    assert np.array_equal(opened.faces(rows, 128), store.faces(rows, 128))
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert np.array_equal(opened.faces(mixed, 256), store.faces(mixed, 256))
    around = [row for row in rows if row.around]
    assert np.array_equal(opened.surroundings(around), store.surroundings(around))
    bare = next(row for row in rows if not row.around)
    with pytest.raises(ArtefactError, match="is missing or damaged"):
        opened.surroundings([bare])


def test_other_tools_read_what_a_row_is(store: Store, tmp_path: Path) -> None:
    from pyarrow import dataset

    table = dataset.dataset(write_shards(store, tmp_path / "shards"), format="parquet", exclude_invalid_files=True)
    picked = table.to_table(columns=["key"], filter=dataset.field("label") == "live").column("key").to_pylist()
    assert picked == [row.key for row in store.rows if row.sample.label is Label.LIVE]


def test_a_killed_writer_goes_on_and_a_store_may_grow(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, killed = write_shards(store, tmp_path / "straight", rows=32), tmp_path / "killed"
    write = shards._write

    def dies(path: Path, *given: object) -> None:
        if path.name == "shard-00001.parquet":
            raise KeyboardInterrupt
        write(path, *given)

    monkeypatch.setattr(shards, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        write_shards(store, killed, rows=32)
    with pytest.raises(ArtefactError, match="has no file shards.json"):
        Store(killed)
    written = []
    monkeypatch.setattr(shards, "_write", lambda path, *given: (written.append(path.stem), write(path, *given)))
    write_shards(store, killed, rows=32)
    assert contents(killed) == contents(straight)
    fill(store, range(75, 120))
    assert Store(write_shards(store, killed, rows=32)).rows == store.rows
    assert written == ["shard-00001", "shard-00002", "shard-00002", "shard-00003"]


def test_nothing_is_added_to_shards_and_nothing_but_whole_stores_becomes_some(store: Store, tmp_path: Path) -> None:
    opened = Store(write_shards(store, tmp_path / "shards", rows=32))
    for face in (np.zeros((256, 256, 3), np.uint8), None):
        with pytest.raises(ArtefactError, match="holds shards, to which nothing is added"):
            opened.add(replace(store.rows[0], sample=Sample("new.png", Label.LIVE)), face)
    other = Store(tmp_path / "other", about=ABOUT)
    fill(other, range(1, 60))
    with pytest.raises(ArtefactError, match="holds other shards"):
        write_shards(other, tmp_path / "shards", rows=32)
    with pytest.raises(InputError, match="33 rows a shard; expected a multiple of 32"):
        write_shards(other, tmp_path / "more", rows=33)
    other.face_path(other.with_face()[3]).write_bytes(b"")
    with pytest.raises(ArtefactError, match=r"the face of /x/4.png is missing or damaged"):
        write_shards(other, tmp_path / "more", rows=32)


def test_a_lost_or_broken_shard_is_an_error(store: Store, tmp_path: Path) -> None:
    folder = write_shards(store, tmp_path / "shards", rows=32)
    last = folder / "shard-00002.parquet"
    last.write_bytes(last.read_bytes()[:-9])
    with pytest.raises(ArtefactError, match="cannot be read"):
        Store(folder)
    last.unlink()
    with pytest.raises(ArtefactError, match=r"shard-00002.parquet cannot be read \(.*No such file"):
        Store(folder)
