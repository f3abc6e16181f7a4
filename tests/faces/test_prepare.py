"""Preparation keeps every sample with its outcome, and a killed run resumes to the same store."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import despoof
from despoof.data.manifest import from_folder
from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.faces.align import TEMPLATE
from despoof.faces.detect import find_faces
from despoof.faces.prepare import prepare
from despoof.faces.store import Store


@pytest.fixture
def dataset(tmp_path, people) -> tuple[list[Sample], Path]:
    """Six samples in a folder: four portraits, one of them large, a file that is no picture, and no face."""
    root = tmp_path / "data"
    pictures = {"live/1.png": people[0], "live/2.png": people[1], "attack/print/3.png": people[2]}
    pictures["attack/replay/4.png"] = people[3].repeat(4, 0).repeat(4, 1)
    pictures["live/none.png"] = np.zeros((100, 100, 3), np.uint8)
    for name, image in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    (root / "attack/print/text.jpg").write_text("no picture")
    return from_folder(root), root


def contents(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file() and p.suffix != ".tmp"}


def test_every_sample_has_an_outcome(dataset, tmp_path):
    samples, root = dataset
    store = prepare(samples, tmp_path / "store", workers=1)
    outcomes = {row.sample.path: row.outcome for row in store.rows}
    assert list(outcomes) == [s.path for s in samples]
    assert outcomes.pop("attack/print/text.jpg").startswith("unreadable")
    assert outcomes.pop("live/none.png") == "no_face"
    assert set(outcomes.values()) == {"face"}
    rows = store.with_face()
    faces = store.faces(rows, 256)
    for face, row in zip(faces, rows, strict=True):
        again = find_faces(np.ascontiguousarray(face))[0]  # on the template, up to the detector's own scatter
        assert np.abs(again.landmarks - TEMPLATE * 256).mean() < 14
        assert row.quality["eye_distance"] > 20
        assert 1 <= row.quality["room"] <= 2.7
        assert Path(row.sample.file).is_file()


def test_a_second_run_does_nothing_and_new_samples_are_added(dataset, tmp_path, monkeypatch):
    samples, root = dataset
    store = tmp_path / "store"
    prepare(samples[:3], store, workers=1)
    before = contents(store)
    monkeypatch.setattr(
        "despoof.faces.prepare._prepare_one", lambda sample, **_: pytest.fail(f"{sample} was done again")
    )
    prepare(samples[:3], store, workers=1)
    assert contents(store) == before
    monkeypatch.undo()
    prepare(samples, store, workers=1)
    whole = tmp_path / "whole"
    prepare(samples, whole, workers=1)
    assert contents(store) == contents(whole)


def test_a_sideways_picture_with_a_border_gives_the_same_pictures_and_landmarks_in_the_file(people, tmp_path):
    turned = np.pad(np.rot90(people[0], 1), ((30, 50), (70, 10), (0, 0)))
    for name, image in (("plain", people[0]), ("turned", turned)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    samples = [Sample(f"{name}.png", Label.LIVE, source=str(tmp_path)) for name in ("plain", "turned")]
    store = prepare(samples, tmp_path / "store", workers=1)
    plain, turned = store.rows
    assert (plain.pixels, plain.around, plain.quality) == (turned.pixels, turned.around, turned.quality)
    x, y = np.array(plain.landmarks).T
    np.testing.assert_allclose(turned.landmarks, np.stack([y + 70, 239 - x + 30], 1), atol=0.01)


# Kills itself the moment the third picture has been written to its temporary file, before it gets its name.
KILLED = """
import os, signal, sys
from despoof.data.manifest import from_folder
from despoof.faces.prepare import prepare

fsync, calls = os.fsync, []

def deadly(handle):
    calls.append(handle)
    if len(calls) == 4:  # the first one is of store.json
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)

os.fsync = deadly
prepare(from_folder(sys.argv[1]), sys.argv[2], workers=1)
"""


def test_a_killed_run_resumes_to_the_same_store(dataset, tmp_path):
    samples, root = dataset
    store, whole = tmp_path / "store", tmp_path / "whole"
    source = Path(despoof.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), str(store)], env={"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == -signal.SIGKILL
    assert 0 < len(Store(store).rows) < len(samples)
    assert list((store / "faces").glob(".*.tmp"))  # it was killed in mid-write
    prepare(samples, store, workers=1)
    prepare(samples, whole, workers=1)
    assert contents(store) == contents(whole)


def test_equal_names_of_two_folders_both_arrive(people, tmp_path):
    """Also as people: a file of which nobody is known is a person of its own."""
    for folder, image in (("one", people[0]), ("two", people[1])):
        (tmp_path / folder / "live").mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / folder / "live/0.png")
        store = prepare(from_folder(tmp_path / folder), tmp_path / "store", workers=1)
    assert len({(row.pixels, row.sample.person) for row in Store(store.root).with_face()}) == 2
    again = prepare(from_folder(tmp_path / "one" / ".." / "one"), tmp_path / "store", workers=1)
    assert len(again.rows) == 2


@pytest.mark.parametrize("kind", ["face_path", "around_path"])
@pytest.mark.parametrize("damage", ["missing", "cut", "another's"])
def test_a_damaged_picture_is_made_again(dataset, tmp_path, damage, kind):
    samples, root = dataset
    store = prepare(samples, tmp_path / "store", workers=1)
    whole = contents(store.root)
    one, other = (getattr(store, kind)(row) for row in store.with_face()[:2])
    if damage == "missing":
        one.unlink()
    else:
        one.write_bytes(one.read_bytes()[:300] if damage == "cut" else other.read_bytes())
    prepare(samples, tmp_path / "store", workers=1)
    assert contents(store.root) == whole


def test_a_damaged_face_of_a_picture_that_changed_is_an_error(dataset, tmp_path):
    samples, root = dataset
    store = prepare(samples, tmp_path / "store", workers=1)
    row, other = store.with_face()[:2]
    store.face_path(row).unlink()
    Path(row.sample.file).write_bytes(Path(other.sample.file).read_bytes())
    with pytest.raises(ArtefactError, match="has changed since"):
        prepare(samples, tmp_path / "store", workers=1)


def test_a_second_writer_is_refused_and_a_killed_one_is_not_waited_for(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("despoof.runs.folder.PATIENCE", 0.1)
    samples, root = dataset
    program = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire();"
        "print('held', flush=True); sys.stdin.read()"
    )
    (tmp_path / "store").mkdir()
    command = [sys.executable, "-c", program, str(tmp_path / "store/in-use.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"held\n"
        with pytest.raises(ArtefactError, match="another process works in .*store; expected this one alone"):
            prepare(samples, tmp_path / "store", workers=1)
        writer.kill()
    monkeypatch.undo()
    assert len(prepare(samples, tmp_path / "store", workers=1).rows) == len(samples)


def test_a_place_where_no_store_can_be_is_an_artefact_error(dataset, tmp_path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ArtefactError, match="Choose another folder"):
        prepare(dataset[0], tmp_path / "store", workers=1)


def test_a_source_that_is_gone_leaves_no_row_and_is_taken_when_it_is_back(dataset, tmp_path):
    samples, root = dataset
    (root / "live").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"3 files are not there, such as .*live.*Bring them back"):
        prepare(samples, tmp_path / "store", workers=1)
    assert len(Store(tmp_path / "store").rows) == len(samples) - 3
    (tmp_path / "elsewhere").rename(root / "live")
    assert {row.sample.path for row in prepare(samples, tmp_path / "store", workers=1).rows} == {
        s.path for s in samples
    }
