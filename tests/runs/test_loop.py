"""A run's folder belongs to one run, and its log says the same whether it was killed or not; a state of another run
that is gone on with, or a mean over fewer steps than it says, would go unseen."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from despoof.errors import ArtefactError
from despoof.runs import log
from despoof.runs.identity import Identity
from despoof.runs.loop import LoopConfig, run_loop
from despoof.runs.processes import claim_together


class KilledError(Exception):
    """Stands for a kill."""


def run(folder: Path, *, die_at: int | None = None, identity: Identity | None = None) -> list[dict]:
    def step(number: int) -> dict[str, float]:
        if number == die_at:
            raise KilledError
        return {"loss": float(number)}

    parts, config = {"net": torch.nn.Linear(1, 1)}, LoopConfig(9, save_every=3, log_every=4)
    run_loop(folder, parts, step, config, title="test", identity=identity or Identity("test"))
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in ("step", "loss")} for line in lines]


@pytest.mark.parametrize("die_at", [2, 3, 4, 5, 7, 8])
def test_a_mean_that_a_kill_cuts_in_two_is_the_same(tmp_path: Path, die_at: int) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, die_at=die_at)
    assert run(tmp_path) == [{"step": 4, "loss": 1.5}, {"step": 8, "loss": 5.5}, {"step": 9, "loss": 8.0}]


@pytest.mark.parametrize("die_at", [None, 5])
def test_the_board_is_closed_however_a_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_at: int | None
) -> None:
    board = SimpleNamespace(closed=0, add_scalar=lambda *line: None)
    board.close = lambda: setattr(board, "closed", board.closed + 1)
    monkeypatch.setattr(log, "_open_board", lambda folder, begin: board)
    if die_at is None:
        run(tmp_path)
    else:
        with pytest.raises(KilledError):
            run(tmp_path, die_at=die_at)
    assert board.closed == 1


def test_another_run_is_refused_in_a_folder_and_with_its_state(tmp_path: Path) -> None:
    run(tmp_path / "a")
    for other in (Identity("other"), Identity("test", {"seed": 1}), Identity("test", data="x")):
        with pytest.raises(ArtefactError, match=r"run.json holds another run: .+ was .+, now "):
            run(tmp_path / "a", identity=other)
    (tmp_path / "a/run.json").unlink()
    with pytest.raises(ArtefactError, match=r"state.pt holds another run: task was 'test', now 'other'"):
        run(tmp_path / "a", identity=Identity("other"))


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, die_at=4)
    for left in (tmp_path / ".state-abc.pt.tmp", tmp_path / "latents/.done-x.json.tmp"):
        left.parent.mkdir(exist_ok=True)
        left.write_bytes(b"half")
    run(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ArtefactError, match="could not write .*Expected a writable folder"):
        run(tmp_path / "file/run")


def test_a_machine_without_the_shared_folder_is_refused(tmp_path: Path) -> None:
    """Of two processes, the second finds no claim of the first where it looks; or that of another run."""
    second = SimpleNamespace(is_main_process=False, process_index=1, wait_for_everyone=lambda: None)
    with pytest.raises(ArtefactError, match="not there for process 1; expected a folder that all machines share"):
        claim_together(second, tmp_path, Identity("test"))
    run(tmp_path)
    claim_together(second, tmp_path, Identity("test"))
    with pytest.raises(ArtefactError, match="holds another run"):
        claim_together(second, tmp_path, Identity("other"))
