"""BPCER of groups by hand: a large camera, or rows without a value, must not decide whose rate is called far."""

import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.evaluation.cameras import on_cameras
from despoof.evaluation.crossfit import cross_fitted
from despoof.evaluation.groups import far_groups, group_table
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.faces.store import StoredSample
from score_files import fold

GLASSES = {"a": ["yes", "yes", "no", "no", "no", ""], "b": ["yes", "no"]}


def _scored(rounds: int):
    """Camera a: six live, b: two; at any threshold between .2 and .8 a's 0, 3 and b's 0 are refused."""
    scores = {
        "a": {"none": [0.1, 0.9, 0.9, 0.1, 0.9, 0.9], "print": [0.2, 0.2]},
        "b": {"none": [0.1, 0.9], "print": [0.2]},
    }
    files = [fold(0, {"a": scores["a"]}, "b"), fold(1, {"b": scores["b"]}, "a")]
    stored = []
    for file in files:
        for i, row in enumerate(file.rows):
            worn = GLASSES[row.domain][i] if row.label is Label.LIVE else ""
            sample = Sample(row.path, row.label, row.attack_type, labels=(("glasses", worn), ("name", row.path)))
            found = {"luma": float(60 + 30 * i)} if i < 3 and row.label is Label.LIVE else {}
            stored.append(StoredSample(sample, "face", quality=found))
    files = [
        ScoreFile(
            tuple(
                ScoreRow(r.path, r.subject, r.domain, r.label, r.attack_type, r.liveness, key=s.key)
                for r, s in zip(file.rows, stored[start:], strict=False)
            ),
            file.facts,
        )
        for file, start in ((files[0], 0), (files[1], len(files[0].rows)))
    ]
    (judged,) = cross_fitted(files)
    assert ((judged.thresholds["equal error"] > 0.2) & (judged.thresholds["equal error"] < 0.9)).all()
    return on_cameras(judged, rounds=rounds), stored


def test_a_groups_rate_counts_a_camera_by_the_share_of_its_live_that_is_inside():
    found, stored = _scored(0)
    table = {row[2]: row[3:] for row in group_table([found], stored)[1:]}
    # Glasses: two of a's six live, one refused, and one of b's two, refused: (1/6 + 1/2) / (2/6 + 1/2).
    own, others = (1 / 6 + 1 / 2) / (2 / 6 + 1 / 2), (1 / 6) / (3 / 6 + 1 / 2)
    live, cameras, rate, against, far = table["glasses: yes"]
    assert (live, cameras, far) == ("3", "2", "–")
    assert float(rate) == pytest.approx(100 * own, abs=0.01)
    assert float(against) == pytest.approx(100 * (own - others), abs=0.01)
    assert table["glasses: no"][:2] == ("4", "2")  # whose glasses nobody told of is in neither
    # Known luma: 60, 90, 120 of a, 60, 90 of b; thirds end at 70 and 90 (numpy's quantiles).
    thirds = {name: row for name, row in table.items() if name.startswith("luma")}
    assert [row[0] for row in thirds.values()] == ["2", "2", "1"]
    assert [float(row[2]) for row in thirds.values()] == [100, 0, 0]
    assert not [name for name in table if name.startswith(("name", "sharpness"))]  # one a name, the other not measured


def test_a_group_that_is_refused_more_beyond_chance_is_said_plainly():
    rng = np.random.default_rng(0)
    names, files, stored = [f"c{i}" for i in range(8)], [], []
    for i, name in enumerate(names):
        dark = np.arange(40) % 3 == 0
        live = np.where(dark, rng.normal(0.4, 0.1, 40), rng.normal(0.9, 0.02, 40))
        scores = {name: {"none": live.tolist(), "print": rng.normal(0.45, 0.1, 40).tolist()}}
        files.append(fold(i, scores, [other for other in names if other != name]))
        for row in files[-1].rows:
            place = int(row.path.rpartition("-")[2][:-4])
            values = {"luma": 50.0 + dark[place] * -20 + place / 10, "eye_distance": float(place)}
            stored.append(StoredSample(Sample(row.path, row.label, row.attack_type), "face", quality=values))
    found = on_cameras(cross_fitted(files)[0], rounds=200)
    table = group_table([found], stored)
    said = far_groups(table, "m")
    assert any("luma, darkest third" in each for each in said)
    assert not any("eye_distance" in each for each in said)
    assert not far_groups(table, "another")
    assert {row[2].partition(",")[0]: row[-1] for row in table[1:]}["eye_distance"] == "no"


def test_without_the_store_there_are_no_groups():
    found, _ = _scored(0)
    assert len(group_table([found], [])) == 1
