"""`despoof report` from score files to a page: faces may be shown only by an explicit word, and figures must arrive."""

from pathlib import Path

import numpy as np
import pytest

from despoof.cli.app import build_app
from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow, write_scores
from despoof.faces.align import face_hash
from despoof.faces.counterparts import CounterpartCache
from despoof.faces.store import Store, StoredSample
from despoof.runs.folder import write_text

pytest.importorskip("matplotlib", reason="curves need the extra `report`")

LIVENESS = {"live": (0.9, 0.7, 0.6, 0.4), "attack": (0.1, 0.2, 0.3, 0.8)}


def run(*tokens: object) -> None:
    build_app()([str(token) for token in tokens], result_action="return_value")


def write_file(folder: Path, name: str) -> None:
    rows = [
        ScoreRow(f"{label}-{i}.png", f"s{i}", "a", Label(label), "none" if label == "live" else "print", value)
        for label, values in LIVENESS.items()
        for i, value in enumerate(values)
    ]
    facts = {"protocol": "p", "cell": "to-a", "model": name, "seed": 0, "split": "test"}
    facts |= {"thresholds": {"source_eer": {"value": 0.5, "origin": "sources"}}}
    write_scores(folder / name / "to-a-seed0-test.csv", ScoreFile(tuple(rows), facts))


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    write_file(tmp_path / "run", "one")
    write_file(tmp_path / "run", "two")
    return tmp_path / "run"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Grey faces whose counterparts are white: no person is needed to see that a picture arrives."""
    opened = Store(tmp_path / "store", about={"face_size": 256})
    for label, values in LIVENESS.items():
        for i in range(len(values)):
            sample = Sample(f"{label}-{i}.png", Label(label), "none" if label == "live" else "print")
            row = StoredSample(sample, "face")
            opened.add(row, np.full((256, 256, 3), 90, np.uint8))
    grey = opened.faces(opened.rows[:1], 32)[0]
    CounterpartCache(opened.root / "counterparts" / "white", {"size": 32}).add(
        {face_hash(grey): np.full_like(grey, 255)}
    )
    return opened.root


def test_page_markdown_and_pictures_are_written_and_agree(scores: Path, tmp_path: Path, capsys) -> None:
    run("report", scores, tmp_path / "out", "--rounds", 20, "--title", "A & B")
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "report.html")
    page, text = ((tmp_path / "out" / name).read_text() for name in ("report.html", "report.md"))
    assert "<h1>A &amp; B</h1>" in page
    for figure in ("25.00", "81.25"):  # HTER: one of four each; AUC: thirteen of sixteen pairs
        assert figure in page
        assert figure in text
    linked = {line.rpartition("(")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")}
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out" / "pictures").iterdir()}
    assert linked == written
    assert len(written) == 2 + 2 + 2  # ROC and DET of the cell; histogram and reliability of each model


def test_faces_are_shown_only_if_the_licence_is_said_to_allow_it(scores: Path, store: Path, tmp_path: Path) -> None:
    places = ("--store", store, "--counterparts", store / "counterparts" / "white")
    run("report", scores, tmp_path / "without", "--rounds", 0, *places)
    run("report", scores, tmp_path / "with", "--rounds", 0, *places, "--show-faces")
    counts = [(tmp_path / name / "report.html").read_text().count("<img") for name in ("without", "with")]
    assert counts == [6, 6 + 8]
    assert len(list((tmp_path / "with" / "pictures").iterdir())) == 6  # faces lie in the page alone
    with pytest.raises(InputError, match="--store and --counterparts"):
        run("report", scores, tmp_path / "out", "--show-faces", "--store", store)


def test_a_folder_without_scores_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "empty" / "to-a-seed0-validation.csv", "")
    with pytest.raises(ArtefactError, match="empty"):
        run("report", tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_option_has_help(capsys) -> None:
    run("report", "--help")
    text = capsys.readouterr().out
    for option in ("SCORES", "OUT", "--model", "--store", "--counterparts", "--show-faces", "--rounds"):
        assert option in text
