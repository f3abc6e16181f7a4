"""A write is whole or not at all: an error, a kill or a full disk must leave the old file and no litter."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import despoof
from despoof.errors import ArtefactError
from despoof.runs import folder
from despoof.runs.folder import atomic_path, held, read_json, remove_left, write_json, write_text
from full_disk import files_up_to


def test_json_comes_back_and_parents_are_made(tmp_path):
    path = tmp_path / "a/b.json"
    write_json(path, {"ä": [1, None]})
    assert read_json(path) == {"ä": [1, None]}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_is_what_the_umask_leaves(tmp_path, umask, mode):
    """Faces of people, say, under 077."""
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("step", ["pathlib.Path.touch", "os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_is_an_artefact_error_at_every_step(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(step, full)
        with pytest.raises(ArtefactError, match="No space left"):
            write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_refused_write_is_an_artefact_error(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with files_up_to(1000), pytest.raises(ArtefactError, match=r"a\.txt"):
        write_text(path, "x" * 5000)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_made_is_an_artefact_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtefactError, match="could not write"):
        write_text(tmp_path / "file/inside.txt", "new")


def test_a_kill_in_mid_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    code = (
        "import os, signal, sys\n"
        "from despoof.runs.folder import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {"PYTHONPATH": str(Path(despoof.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code, str(path)], env=env).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_broken_json_is_an_artefact_error(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtefactError, match="not valid JSON"):
        read_json(tmp_path / "a.json")


def test_json_that_is_not_there(tmp_path):
    for path in (tmp_path / "a.json", tmp_path):
        with pytest.raises(ArtefactError):
            read_json(path)


HOLDER = """
import sys
from despoof.runs.folder import held
with held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_until_it_ends_or_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "PATIENCE", 0.1)
    env = {"PYTHONPATH": str(Path(despoof.__file__).parents[1])}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ArtefactError, match="another process works in .*; expected this one alone"), held(tmp_path):
            pass
        monkeypatch.setenv("RANK", "1")  # of a run whose first process has it
        with held(tmp_path):
            monkeypatch.delenv("RANK")
        other.kill()
        other.wait()
    with held(tmp_path), held(tmp_path):  # within a process as often as needed
        pass


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    for name in (".a-12345678.csv.tmp", ".ab-12345678.csv.tmp", "a.csv", "a.tmp"):
        (tmp_path / name).write_text("x")
    remove_left(tmp_path, "a-????????.csv", age=60)
    assert len(list(tmp_path.iterdir())) == 4  # another's, perhaps
    remove_left(tmp_path, "a-????????.csv")
    assert {path.name for path in tmp_path.iterdir()} == {".ab-12345678.csv.tmp", "a.csv", "a.tmp"}


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="no folder that refuses root too")
def test_a_read_only_folder_is_an_error_that_says_so():
    with pytest.raises(ArtefactError, match="cannot be written to or locked"), held("/sys/despoof"):
        pass
    with pytest.raises(ArtefactError, match="could not write"):
        write_text("/sys/despoof/a.txt", "x")
