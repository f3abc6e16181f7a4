"""Score files keep every number and fact through a round trip; a damaged one must not be read as scores."""

import math

import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow, read_scores, write_scores
from despoof.runs.identity import software

FACTS = {
    "protocol": "p",
    "cell": "to-b",
    "model": "m",
    "seed": 0,
    "split": "test",
    "thresholds": {"source_eer": {"value": 0.1 + 0.2, "origin": "sources"}},
    "weights_hash": "abc",
}
ROWS = (
    ScoreRow('b/"live", 1.jpg', "anna", "b", Label.LIVE, "none", 1 / 3),
    ScoreRow("b/live-2.jpg", "björn", "b", Label.LIVE, "none", None, "no_face"),
    ScoreRow("b/attack-1.jpg", "anna", "b", Label.ATTACK, "print", -1e-300),
    ScoreRow("b/attack-2.jpg", "carl", "b", Label.ATTACK, "display", 0.25),
    ScoreRow("b/attack-3.jpg", "carl", "b", Label.ATTACK, "print", 0.75),
)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "scores.csv"
    write_scores(path, ScoreFile(ROWS, FACTS))
    return path


def test_round_trip_is_exact(written):
    assert read_scores(written) == ScoreFile(ROWS, FACTS)


def test_views_by_label_species_and_subject():
    file = ScoreFile(ROWS, FACTS)
    assert file.liveness(Label.LIVE).tolist() == [1 / 3]
    assert {name: scores.tolist() for name, scores in file.attacks().items()} == {
        "display": [0.25],
        "print": [-1e-300, 0.75],
    }
    assert (file.unanswered(Label.LIVE), file.unanswered(Label.ATTACK)) == (1, 0)
    assert file.scores().attack_subjects == ["b/anna", "b/carl", "b/carl"]
    assert np.array_equal(file.scores().attack, file.liveness(Label.ATTACK))
    assert file.threshold("source_eer") == 0.1 + 0.2


def test_an_unknown_threshold_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="source_eer"):
        ScoreFile(ROWS, FACTS).threshold("oracle_target_eer")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# {", "{"),
        ("despoof-scores/2", "despoof-scores/9"),
        ('"model": "m", ', ""),
        ("liveness,reason", "score,reason"),
        (",attack,", ",1,"),
        ("0.25", "nan"),
        ("0.25", "high"),
        (",,no_face", ",,"),
        ("0.25,", "0.25,no_face"),
        ("0.25,", "0.25"),
        (*(Sample(f"b/attack-{i}.jpg", Label.ATTACK).key for i in (3, 2)),),
        (",live,none,,no_face", ",live,print,,no_face"),
        ('"test"', '"train"'),
        ('"origin"', '"source"'),
    ],
)
def test_damage_is_an_artefact_error_that_names_the_file(written, old, new):
    text = written.read_text(encoding="utf-8")
    assert old in text
    written.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"scores\.csv"):
        read_scores(written)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"# 3\n", b"# {"])
def test_foreign_files_are_artefact_errors(tmp_path, content):
    (tmp_path / "other.csv").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"other\.csv"):
        read_scores(tmp_path / "other.csv")


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(ArtefactError, match="Run its cell"):
        read_scores(tmp_path / "none.csv")


@pytest.mark.parametrize(("liveness", "reason"), [(None, ""), (math.nan, ""), (math.inf, ""), (0.5, "blurred")])
def test_a_row_has_either_a_finite_liveness_or_a_reason(liveness, reason):
    with pytest.raises(InputError):
        ScoreRow.from_sample(Sample("x.jpg", Label.LIVE), liveness, reason)


def test_a_failed_write_leaves_the_old_file(written):
    before = written.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_scores(written, ScoreFile(ROWS, FACTS | {"loss": math.nan}))
    assert written.read_bytes() == before


def test_software_name_commit_and_versions():
    facts = software()
    assert facts["commit"]
    assert facts["versions"]["numpy"] == np.__version__
