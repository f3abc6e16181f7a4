"""`despoof published`: what is printed must keep conventions apart and put an own run where it belongs."""

import re
from pathlib import Path

import pytest

from despoof.cli.app import build_app
from despoof.data.sample import Label
from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow, write_scores

SETS = ("msu-mfsd", "casia-fasd", "replay-attack", "oulu-npu")


def printed(capsys: pytest.CaptureFixture, *tokens: object) -> str:
    build_app()([str(token) for token in tokens], result_action="return_value")
    return re.sub(" +", " ", capsys.readouterr().out)  # columns are padded


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """At 0.5 one live of four is refused and one attack of four passes, on each of the four sets."""
    for target in SETS:
        rows = [
            ScoreRow(f"{label}{i}", f"s{i}", target, Label(label), "none" if label == "live" else "print", value)
            for label, values in (("live", (0.9, 0.7, 0.6, 0.4)), ("attack", (0.1, 0.2, 0.3, 0.8)))
            for i, value in enumerate(values)
        ]
        facts = {"protocol": "loo-mcio", "cell": f"to-{target}", "model": "ours", "seed": 0, "split": "test"}
        facts |= {"target": target, "sources": [name for name in SETS if name != target], "unit": "video mean"}
        facts |= {"selection": "last step", "thresholds": {"source_eer": {"value": 0.5, "origin": "sources"}}}
        write_scores(tmp_path / f"to-{target}-seed0-test.csv", ScoreFile(tuple(rows), facts))
    return tmp_path


def test_without_a_protocol_all_are_listed(capsys) -> None:
    text = printed(capsys, "published")
    assert "| mcio | leave one of four out |" in text
    assert "| ssan-large |" in text


def test_own_run_stands_beside_the_published_rows_once_per_threshold_source(run: Path, capsys) -> None:
    text = printed(capsys, "published", "mcio", "--own", run)
    rows = [line for line in text.splitlines() if line.startswith(("| – | ours", "| ours"))]
    assert sum("25.00 | 25.00 | 25.00 | 25.00 | 25.00" in row for row in rows) == 2
    assert any("source-validation" in row and "threshold from the sources" in row for row in rows)
    assert any("target-eer" in row and "threshold from the target" in row for row in rows)
    assert "| AG-FAS |" in text


def test_ranking_all_rows_needs_an_explicit_word_and_prints_the_warning(run: Path, capsys) -> None:
    assert "WARNING" not in printed(capsys, "published", "mcio", "--own", run)
    text = printed(capsys, "published", "mcio", "--own", run, "--mixed")
    assert "WARNING. These rows are not comparable" in text
    places = [line.split(" | ")[0:2] for line in text.splitlines() if " | ours | this run" in line]
    assert [place[1] for place in places] == ["ours", "ours"]


def test_a_chosen_metric_is_what_cells_show(capsys) -> None:
    text = printed(capsys, "published", "mcio", "--metric", "auc")
    row = next(line for line in text.splitlines() if "| AG-FAS |" in line and "98.03" in line)
    assert row.index("98.03") < row.index("97.86")  # the cells and then their mean


def test_options_without_a_protocol_are_refused(run: Path) -> None:
    with pytest.raises(InputError, match="without a protocol"):
        build_app()(["published", "--own", str(run)], result_action="return_value")
