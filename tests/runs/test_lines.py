"""Lines that a long command kept: a torn one read as whole, or another run's read as this one's, would be a result."""

import json
from pathlib import Path

import pytest

from despoof.errors import ArtefactError
from despoof.runs.identity import Identity
from despoof.runs.lines import add_lines, kept_lines
from full_disk import files_up_to

OWN = Identity("a test", {"seed": 1})


def test_lines_come_back_and_a_torn_one_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    assert kept_lines(path, OWN) == []
    add_lines(path, [["a", 1], ["b", None]])
    add_lines(path, [["c", 0.5]])
    assert kept_lines(path, OWN) == [["a", 1], ["b", None], ["c", 0.5]]
    path.write_text(path.read_text()[:-3])
    assert kept_lines(path, OWN) == [["a", 1], ["b", None]]
    add_lines(path, [["d", 2]])
    assert [json.loads(line) for line in path.read_text().splitlines()[1:]] == [["a", 1], ["b", None], ["d", 2]]


def test_another_run_and_a_disk_that_refuses_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    kept_lines(path, OWN)
    with pytest.raises(ArtefactError, match="seed was 1, now 2"):
        kept_lines(path, Identity("a test", {"seed": 2}))
    with files_up_to(path.stat().st_size + 10), pytest.raises(ArtefactError, match="Free some space"):
        add_lines(path, [["a", 1], ["b", 2]])
    assert kept_lines(path, OWN) in ([], [["a", 1]])  # what was written of them is cut off
