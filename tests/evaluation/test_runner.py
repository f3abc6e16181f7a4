"""Fitting never meets the target, files resume and thresholds come from sources: a slip here is peeking."""

import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.data.store import StoredSample
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.protocols import leave_one_domain_out
from despoof.evaluation.results import read_scores
from despoof.evaluation.runner import Model, run_protocol, untrained
from despoof.metrics import eer

DOMAINS = ("a", "b", "c")
PROTOCOL = leave_one_domain_out(DOMAINS)


def _rows() -> list[StoredSample]:
    rows = []
    for domain in DOMAINS:
        for i in range(24):
            label = Label.LIVE if i % 2 else Label.ATTACK
            species = "none" if label is Label.LIVE else "print"
            sample = Sample(f"{domain}/{i}.jpg", label, species, f"s{i // 3}", domain)
            rows.append(StoredSample(sample, "no_face" if i == 5 else "face", "", quality={"v": i + 24.0 * i}))
    return rows


def _score(rows):
    """Live above attacks, except where the row number says otherwise; every seventh has no answer."""
    numbers = [int(row.sample.path.split("/")[1][:-4]) for row in rows]
    live = [row.sample.label is Label.LIVE for row in rows]
    return np.array([np.nan if n % 7 == 0 else n / 24 + is_live for n, is_live in zip(numbers, live, strict=True)])


class Watched:
    """A fit that notes what it was handed."""

    def __init__(self):
        self.calls = []

    def __call__(self, train, validation, seed, folder):
        self.calls.append((train, validation, seed, folder))
        assert folder.is_dir()
        return _score


def test_fit_gets_sources_only_and_subjects_apart(tmp_path):
    fit = Watched()
    run_protocol(PROTOCOL, _rows(), Model("m", fit), tmp_path, seeds=(0, 1))
    assert len(fit.calls) == 6
    for (train, validation, seed, _), (cell, wanted) in zip(
        fit.calls, [(cell, seed) for cell in PROTOCOL.cells for seed in (0, 1)], strict=True
    ):
        assert seed == wanted
        assert {row.sample.domain for row in train} == set(cell.sources)
        assert {row.sample.domain for row in validation} == set(cell.sources)
        assert all(row.outcome == "face" for row in train + validation)
        sides = [{(row.sample.domain, row.sample.subject) for row in part} for part in (train, validation)]
        assert not sides[0] & sides[1]


def test_files_hold_the_target_its_non_responses_and_the_source_threshold(tmp_path):
    paths = run_protocol(PROTOCOL, _rows(), Model("m", Watched(), {"config_hash": "c0"}), tmp_path, seeds=(3,))
    folder = tmp_path / "scores" / "leave-one-domain-out" / "m"
    assert paths == [folder / f"to-{name}-seed3-test.csv" for name in DOMAINS]
    test = read_scores(paths[0])
    validation = read_scores(folder / "to-a-seed3-validation.csv")
    assert {row.domain for row in test.rows} == {"a"}
    assert {row.domain for row in validation.rows} <= {"b", "c"}
    assert len(test.rows) == 24
    reasons = {row.path: row.reason for row in test.rows if row.liveness is None}
    assert reasons == {"a/0.jpg": "no_score", "a/5.jpg": "no_face"} | {f"a/{i}.jpg": "no_score" for i in (7, 14, 21)}
    expected = eer(validation.liveness(Label.LIVE), validation.liveness(Label.ATTACK))[1]
    assert test.threshold("source_eer") == validation.threshold("source_eer") == expected
    assert "oracle" not in str(test.facts)
    assert test.facts["config_hash"] == "c0"
    assert (test.facts["sources"], test.facts["split"]) == (["b", "c"], "test")
    assert test.facts["versions"]


def test_a_finished_cell_is_skipped_and_half_a_cell_is_run_again(tmp_path):
    fit = Watched()
    paths = run_protocol(PROTOCOL, _rows(), Model("m", fit), tmp_path)
    before = [path.read_bytes() for path in paths]
    assert run_protocol(PROTOCOL, _rows(), Model("m", fit), tmp_path) == paths
    assert len(fit.calls) == 3
    paths[1].unlink()
    run_protocol(PROTOCOL, _rows(), Model("m", fit), tmp_path)
    assert len(fit.calls) == 4
    assert [path.read_bytes() for path in paths] == before


def test_an_interrupted_protocol_goes_on_at_the_cell_that_failed(tmp_path):
    calls = []

    def fit(train, validation, seed, folder):
        calls.append(folder.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return _score

    with pytest.raises(KeyboardInterrupt):
        run_protocol(PROTOCOL, _rows(), Model("m", fit), tmp_path)
    run_protocol(PROTOCOL, _rows(), Model("m", fit), tmp_path)
    assert calls == ["to-a-seed0", "to-b-seed0", "to-b-seed0", "to-c-seed0"]


def test_files_of_another_config_or_other_data_are_not_taken_for_these(tmp_path):
    run_protocol(PROTOCOL, _rows(), untrained("m", _score, {"config_hash": "one"}), tmp_path)
    with pytest.raises(ArtefactError, match="config_hash"):
        run_protocol(PROTOCOL, _rows(), untrained("m", _score, {"config_hash": "two"}), tmp_path)
    fewer = [row for row in _rows() if row.sample.path != "a/2.jpg"]
    with pytest.raises(ArtefactError, match="data_hash"):
        run_protocol(PROTOCOL, fewer, untrained("m", _score, {"config_hash": "one"}), tmp_path)


@pytest.mark.parametrize(
    "score",
    [
        lambda rows: np.zeros(3),
        lambda rows: np.full(len(rows), np.inf),
        lambda rows: np.zeros((len(rows), 2)),
    ],
)
def test_scores_of_a_wrong_shape_or_infinite_are_refused_and_leave_no_file(tmp_path, score):
    with pytest.raises(InputError, match="score returned"):
        run_protocol(PROTOCOL, _rows(), untrained("m", score), tmp_path)
    assert not list(tmp_path.rglob("*.csv"))


def test_a_missing_domain_and_a_clashing_fact_are_refused(tmp_path):
    rows = [row for row in _rows() if row.sample.domain != "c"]
    with pytest.raises(InputError, match="'c'"):
        run_protocol(PROTOCOL, rows, untrained("m", _score), tmp_path)
    with pytest.raises(InputError, match="'seed'"):
        run_protocol(PROTOCOL, _rows(), untrained("m", _score, {"seed": 1}), tmp_path)
