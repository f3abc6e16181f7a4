"""A store gives back what was put in and survives a kill, a full disk and damage; half a row must not live on."""

import errno
import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError
from despoof.faces.align import face_hash, shrink
from despoof.faces.store import Store, StoredSample

ABOUT = {"face_size": 256, "version": 3}


def stored(name: str, outcome: str = "face") -> StoredSample:
    sample = Sample(name, Label.LIVE, domain="d", source="/x", labels=(("light", "dim"),))
    return StoredSample(sample, outcome, landmarks=[[1.0, 2.0]] * 5, quality={"luma": 3.0})


@pytest.fixture
def face(people) -> np.ndarray:
    return cv2.resize(people[0], (256, 256))


def test_what_goes_in_comes_out(tmp_path, face):
    store = Store(tmp_path, about=ABOUT)
    row = store.add(stored("a"), face)
    store.add(stored("b", "no_face"), None)
    again = Store(tmp_path)
    assert row == replace(stored("a"), pixels=face_hash(face))
    assert again.rows == store.rows == [row, stored("b", "no_face")]
    assert again.with_face() == [row]
    np.testing.assert_array_equal(again.faces(again.with_face(), 256)[0], face)
    np.testing.assert_array_equal(np.asarray(Image.open(again.face_path(stored("a")))), face)  # RGB, not BGR


def test_surroundings_that_go_in_come_out_and_count(tmp_path, face):
    around = np.stack([cv2.resize(face, (160, 160)), 255 - cv2.resize(face, (160, 160))])
    store = Store(tmp_path, about=ABOUT)
    row, bare = store.add(stored("a"), face, around), store.add(stored("b"), face)
    assert row.around == face_hash(around)
    assert bare.around == ""
    assert Store(tmp_path).rows == [row, bare]
    np.testing.assert_array_equal(Store(tmp_path).surroundings([row, row]), [around, around])
    side_by_side = np.asarray(Image.open(tmp_path / f"surroundings/{row.key}.png"))  # near | far, RGB
    np.testing.assert_array_equal(side_by_side, np.concatenate([around[0], around[1]], 1))
    assert Store.data_hash([row]) != Store.data_hash([replace(row, around="0" * 24)])
    cv2.imwrite(str(store.around_path(row)), side_by_side // 2)
    for each in (row, bare):
        with pytest.raises(ArtefactError, match="Run `despoof prepare` again"):
            store.surroundings([each])


def test_shrinking_is_the_mean_of_blocks(face):
    blocks = face.reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(shrink(face, 128) - blocks).max() <= 0.5


def test_keys_depend_on_the_file_alone_and_differ():
    assert stored("a").key == Sample("a", Label.ATTACK, "print", source="/x").key
    assert len({Sample(str(i), Label.LIVE, source=source).key for i in range(500) for source in "xy"}) == 1000


@pytest.mark.parametrize(("source", "path"), [("/x", "./a"), ("/x/y", "../a"), ("", "/x/a"), ("/y", "/x//a")])
def test_one_file_has_one_key(source, path):
    assert Sample(path, Label.LIVE, source=source).key == stored("a").key


def test_equal_names_below_two_folders_are_two_samples(tmp_path, face):
    store = Store(tmp_path, about=ABOUT)
    row = store.add(stored("a"), face)
    other = store.add(replace(row, sample=replace(row.sample, source="/y")), 255 - face)
    np.testing.assert_array_equal(Store(tmp_path).faces([other, row], 256), [255 - face, face])


def test_a_sample_listed_twice_is_refused(tmp_path, face):
    """What two writers at once would leave."""
    store = Store(tmp_path, about=ABOUT)
    store.add(stored("a"), face)
    store.add(stored("a"), face)
    with pytest.raises(ArtefactError, match=r"line 2 has /x/a again"):
        Store(tmp_path)


def test_data_hash_sees_rows_pixels_and_order_and_not_where_files_lie(tmp_path, face):
    store = Store(tmp_path, about=ABOUT)
    a, b = store.add(stored("a"), face), store.add(stored("b"), 255 - face)
    told = Store.data_hash([a, b])
    assert told == Store.data_hash(Store(tmp_path).rows)
    assert told == Store.data_hash([replace(row, sample=replace(row.sample, source="/moved")) for row in (a, b)])
    other = replace(a, sample=replace(a.sample, domain="e"))
    assert len({told, *map(Store.data_hash, ([b, a], [a], [other, b], [replace(a, pixels=b.pixels), b]))}) == 5


def test_reading_a_store_writes_nothing(tmp_path, face):
    store = Store(tmp_path, about=ABOUT)
    store.add(stored("a"), face)
    manifest = tmp_path / "samples.jsonl"
    manifest.write_bytes(manifest.read_bytes() + b'{"half": ')
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.*")}
    assert [row.key for row in Store(tmp_path).rows] == [stored("a").key]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.*")} == before


@pytest.mark.parametrize("rows", [0, 1])
def test_half_a_row_is_cut_off(tmp_path, face, rows):
    store = Store(tmp_path, about=ABOUT)
    for name in "ab"[1 - rows :]:
        store.add(stored(name), face)
    manifest = tmp_path / "samples.jsonl"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-25])
    again = Store(tmp_path, about=ABOUT)
    assert [row.sample.path for row in again.rows] == ["a"][:rows]
    again.add(stored("b"), face)
    assert manifest.read_bytes() == whole


def test_another_recipe_is_refused(tmp_path):
    Store(tmp_path, about=ABOUT)
    with pytest.raises(ArtefactError, match="was made with"):
        Store(tmp_path, about=ABOUT | {"face_size": 128})


def test_a_store_of_an_earlier_version_is_refused_with_the_next_step(tmp_path):
    (tmp_path / "store.json").write_text('{"face_size": 256, "version": 2}')
    for about in (None, ABOUT):
        with pytest.raises(ArtefactError, match=r"is of version 2; expected 3.*Prepare the same samples again"):
            Store(tmp_path, about=about)


@pytest.mark.parametrize("line", ["{}", "null", "not json", '{"path": "a", "label": "1", "outcome": "face"}'])
def test_a_damaged_manifest_is_an_artefact_error(tmp_path, line):
    Store(tmp_path, about=ABOUT)
    (tmp_path / "samples.jsonl").write_text(line + "\n")
    with pytest.raises(ArtefactError, match="line 1"):
        Store(tmp_path)


def test_no_store_and_a_broken_one(tmp_path):
    with pytest.raises(ArtefactError, match="does not exist"):
        Store(tmp_path / "nothing")
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(ArtefactError, match="not valid JSON"):
        Store(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "truncated", "another's"])
def test_a_lost_face_is_an_artefact_error(tmp_path, face, damage):
    store = Store(tmp_path, about=ABOUT)
    store.add(stored("a"), face)
    path = store.face_path(stored("a"))
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    else:
        cv2.imwrite(str(path), face // 2)
    with pytest.raises(ArtefactError, match="missing or damaged"):
        store.faces(store.rows, 128)


def test_a_disk_that_fills_up_with_the_face_leaves_no_row(tmp_path, face, monkeypatch):
    store = Store(tmp_path, about=ABOUT)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(ArtefactError, match="No space left"):
            store.add(stored("a"), face)
    assert store.rows == Store(tmp_path).rows == []
    assert list((tmp_path / "faces").iterdir()) == []


def test_a_disk_that_fills_up_with_the_row_leaves_no_half_row(tmp_path, face, monkeypatch):
    store = Store(tmp_path, about=ABOUT)
    row = store.add(stored("a"), face)

    class Full(io.FileIO):
        def write(self, data):
            super().write(bytes(data)[:20])
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(self, mode, encoding):
        return io.TextIOWrapper(Full(str(self), mode), encoding=encoding, write_through=True)

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", opened)
        with pytest.raises(ArtefactError, match="No space left"):
            store.add(stored("b"), None)
    assert (tmp_path / "samples.jsonl").read_bytes().count(b'"path"') == 2  # the fault did leave half a row
    assert Store(tmp_path).rows == [row]
