"""Two periods: distances against scipy and a closed form, a change found and chance not, files read or refused."""

import json
import math

import numpy as np
import pytest
from scipy.stats import chi2, ks_2samp

from despoof.cli.app import build_app
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.evaluation.scores import write_scores
from despoof.qualification.drift import (
    Period,
    compare_periods,
    difference_interval,
    ks,
    read_period,
    stability_index,
)
from despoof.verdict import Decision
from score_files import toy_scores


def period(liveness: np.ndarray, name: str = "p", refused: int = 0, judged_by: str = "") -> Period:
    decisions = [Decision.LIVE if each >= 0.5 else Decision.ATTACK for each in liveness]
    return Period(name, (*decisions, *[Decision.NO_DECISION] * refused), liveness, {"no_face": refused}, judged_by)


@pytest.mark.parametrize("digits", [2, 16])
def test_the_distance_is_scipys_with_ties_and_without(digits):
    rng = np.random.default_rng(0)
    one, other = rng.beta(5, 2, 300).round(digits), rng.beta(4, 2, 500).round(digits)
    found = compare_periods(period(one), period(other))["liveness"]["KS"]
    expected = ks_2samp(one, other, method="asymp")
    assert found["value"] == pytest.approx(expected.statistic)
    assert found["p"] == pytest.approx(expected.pvalue, abs=0.03 if digits == 16 else 0.06)
    assert found["low"] < found["value"] < found["high"]


def test_many_values_are_counted_in_cells_next_to_exact():
    rng = np.random.default_rng(1)
    one, other = rng.beta(5, 2, 8000), rng.beta(4, 2, 9000)
    found = compare_periods(period(one), period(other), rounds=50)["liveness"]["KS"]
    assert found["value"] == pytest.approx(ks_2samp(one, other).statistic, abs=0.002)


def test_the_index_is_its_closed_form():
    one, other = np.array([10, 20, 30]) * 1000, np.array([30, 20, 10]) * 1000
    assert stability_index(one, other) == pytest.approx(2 * (1 / 3) * math.log(3), rel=1e-3)
    assert stability_index(one, one) == 0
    assert np.isfinite(stability_index(np.array([5, 0]), np.array([0, 5])))
    assert ks(one, other) == pytest.approx(1 / 3)


def test_what_chance_reaches_is_the_chi_squared_of_the_index():
    """Without a change the index is (1 / n + 1 / m) chi-squared of bins - 1 (Yurdakul 2018)."""
    rng = np.random.default_rng(2)
    found = compare_periods(period(rng.random(2000)), period(rng.random(3000)))["liveness"]["PSI"]
    assert found["chance"] == pytest.approx((1 / 2000 + 1 / 3000) * chi2.ppf(0.95, 9), rel=0.1)


def test_chance_is_rarely_below_its_own_level():
    rng, found = np.random.default_rng(3), []
    for _ in range(60):
        values = compare_periods(period(rng.random(150)), period(rng.random(200)), rounds=200)["liveness"]
        found.append([values[name]["p"] < 0.05 for name in ("PSI", "KS")])
    assert np.mean(found, 0).max() <= 0.14  # .05 expected; three standard errors of 60


def test_the_difference_of_shares_is_newcombes_and_holds_at_the_ends():
    found = difference_interval(0, 50, 0, 80)
    assert found.low < 0 < found.high
    found = difference_interval(56, 70, 48, 80)  # 80 % to 60 %: his table has -.334 to -.052 by Wilson's intervals
    assert (found.low, found.high) == pytest.approx((-0.334, -0.052), abs=0.02)


def test_a_change_is_said_plainly_and_none_is_none():
    rng = np.random.default_rng(4)
    before = period(rng.beta(8, 2, 1000), "march")
    same = compare_periods(before, period(rng.beta(8, 2, 1200), "april"))
    assert (same["outcome"], same["sentence"]) == ("unchanged", "Nothing changed beyond the limits.")
    darker = compare_periods(before, period(rng.beta(4, 4, 1200), "april"))
    assert darker["outcome"] == "changed"
    assert "liveness is distributed otherwise" in darker["sentence"]
    assert "LIVE fell from" in darker["sentence"]
    refused = compare_periods(before, period(before.liveness, "april", refused=200))
    assert refused["outcome"] == "changed"
    assert "liveness" not in refused["sentence"]
    assert "NO_DECISION rose from 0.0% to 16.7%" in refused["sentence"]
    other = compare_periods(before, period(rng.beta(4, 4, 1200), "april", judged_by="others"))
    assert "other weights or thresholds" in other["sentence"]
    none = compare_periods(before, period(np.empty(0), "april", refused=900))
    assert (none["outcome"], none["liveness"]) == ("changed", None)


def test_few_are_too_little_data_and_never_unchanged():
    rng = np.random.default_rng(5)
    found = compare_periods(period(rng.random(30)), period(rng.random(30)))
    assert found["outcome"] == "too little data"
    with pytest.raises(InputError, match="no presentation"):
        compare_periods(period(rng.random(30)), period(np.empty(0)))
    with pytest.raises(ConfigError, match="above 0"):
        compare_periods(period(rng.random(30)), period(rng.random(30)), psi=0.0)


ROWS = [
    {"decision": "LIVE", "liveness": 0.9, "reasons": [], "weights": {"detector": "ab"}},
    {"decision": "UNCERTAIN", "liveness": 0.4, "reasons": []},
    {"decision": "NO_DECISION", "liveness": None, "reasons": [{"name": "no_face"}, {"name": "dark"}]},
    {"decision": "ATTACK", "faces": [{"liveness": 0.1}], "reasons": []},  # a clip
]


def test_lines_tables_and_score_files_give_the_same(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    found = read_period(tmp_path / "a.jsonl")
    assert [each.value for each in found.decisions] == ["LIVE", "UNCERTAIN", "NO_DECISION", "ATTACK"]
    assert found.liveness.tolist() == [0.9, 0.4, 0.1]
    assert found.reasons == {"no_face": 1, "dark": 1}
    text = 'decision,liveness,reasons\nLIVE,0.9,\nUNCERTAIN,0.4,\nNO_DECISION,,"no_face, dark"\nATTACK,0.1,\n'
    (tmp_path / "a.csv").write_text(text)
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    flat = {
        "decision": [row["decision"] for row in ROWS],
        "liveness": [0.9, 0.4, None, 0.1],
        "reasons": [[], [], ["no_face", "dark"], []],
    }
    (tmp_path / "parts").mkdir()
    parquet.write_table(pyarrow.table(flat), tmp_path / "parts/0.parquet")
    for other in (tmp_path / "a.csv", tmp_path / "parts", tmp_path / "parts/0.parquet"):
        read = read_period(other)
        assert read.decisions == found.decisions
        assert read.liveness.tolist() == found.liveness.tolist()
        assert read.reasons == found.reasons


def test_the_shards_of_a_job_are_a_period_and_name_who_judged(tmp_path):
    pytest.importorskip("pyarrow.dataset")
    from despoof.batch.shards import Row, Shards, table

    for job in ("a", "b"):
        said = [{key: row.get(key) for key in ("decision", "liveness")} | {"reasons": []} for row in ROWS[:2]]
        said.append({"decision": "NO_DECISION", "reasons": ["error"], "error": "gone"})
        shards = Shards(tmp_path / job, f"score@{job}", {})
        shards.folder.mkdir(parents=True)
        shards._write(
            shards.folder / "part-000000.parquet", table((Row(str(i), "u"), each) for i, each in enumerate(said))
        )
    one, other = read_period(tmp_path / "a"), read_period(tmp_path / "b")
    assert [each.value for each in one.decisions] == ["LIVE", "UNCERTAIN", "NO_DECISION"]
    assert one.reasons == {"error": 1}
    assert "score@a" in one.judged_by
    assert one.judged_by != other.judged_by


def test_a_score_file_is_decided_by_its_thresholds(tmp_path):
    write_scores(tmp_path / "scores.csv", toy_scores(threshold=0.65))
    found = read_period(tmp_path)  # the folder of `measure`
    assert [each.value for each in found.decisions].count("LIVE") == 4  # .9 .8 .7 and a display of .75
    assert found.decisions.count(Decision.NO_DECISION) == 2
    limits = {f"{name} of photos": {"value": at, "origin": "o"} for name, at in
              (("attack_below", 0.35), ("live_from", 0.85))}  # fmt: skip
    write_scores(tmp_path / "scores.csv", toy_scores(thresholds=limits))
    found = read_period(tmp_path / "scores.csv")
    assert [found.decisions.count(each) for each in Decision] == [1, 3, 6, 2]


@pytest.mark.parametrize(
    "text",
    [
        '{"decision": "MAYBE", "liveness": 0.5}',
        '{"decision": "LIVE"}',  # without liveness
        '{"decision": "LIVE", "liveness": 1.5}',
        '{"decision": "LIVE", "liveness": NaN}',
        '{"liveness": 0.5}',
        "no json",
    ],
)
def test_what_is_no_period_is_refused(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(ArtefactError, match="no scores of a period"):
        read_period(tmp_path / "a.jsonl")
    with pytest.raises(ArtefactError, match="does not exist"):
        read_period(tmp_path / "none.csv")


def test_the_command_writes_and_ends_by_the_outcome(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, liveness in (("a", rng.beta(8, 2, 800)), ("b", rng.beta(8, 2, 800)), ("c", rng.beta(3, 4, 800))):
        lines = [{"decision": "LIVE" if each > 0.5 else "ATTACK", "liveness": each} for each in liveness]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def run(first: str, second: str, *more) -> int:
        with pytest.raises(SystemExit) as ended:
            build_app()(["drift", *(str(tmp_path / f"{each}.jsonl") for each in (first, second)), *map(str, more)],
                        result_action="return_value")  # fmt: skip
        return ended.value.code

    assert run("a", "b") == 0
    assert run("a", "c", "--out", tmp_path / "out") == 1
    assert "It changed: liveness" in capsys.readouterr().out
    values = json.loads((tmp_path / "out/drift.json").read_text())
    assert (values["format"], values["outcome"]) == ("despoof-drift/1", "changed")
    assert values["sentence"] in (tmp_path / "out/drift.md").read_text()
    (tmp_path / "d.jsonl").write_text("\n".join((tmp_path / "a.jsonl").read_text().split("\n")[:20]))
    assert run("d", "d") == 3
