"""Fitting never meets the target, files resume and thresholds come from sources: a slip here is peeking."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.protocols import Cell, Part, Protocol, read_protocol
from despoof.evaluation.runner import Model, run_protocol, untrained
from despoof.evaluation.scores import read_scores
from despoof.faces.store import StoredSample
from despoof.metrics import eer

DOMAINS = ("a", "b", "c")
PROTOCOL = read_protocol("leave-one-domain-out", [Sample(f"{d}.jpg", Label.LIVE, domain=d) for d in DOMAINS])


def _rows() -> list[StoredSample]:
    rows = []
    for domain in DOMAINS:
        for i in range(24):
            label = Label.LIVE if i % 2 else Label.ATTACK
            species = "none" if label is Label.LIVE else "print"
            sample = Sample(f"{domain}/{i}.jpg", label, species, f"s{i // 3}", domain)
            rows.append(StoredSample(sample, "no_face" if i == 5 else "face"))
    return rows


def _score(rows):
    """Live above attacks, except where the row number says otherwise; every seventh has no answer."""
    numbers = [int(row.sample.path.split("/")[-1][:-4]) for row in rows]
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
    run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path, seeds=(0, 1))
    assert len(fit.calls) == 6
    for (train, validation, seed, _), (cell, wanted) in zip(
        fit.calls, [(cell, seed) for cell in PROTOCOL.cells for seed in (0, 1)], strict=True
    ):
        assert seed == wanted
        assert {row.sample.domain for row in train} == set(cell.train.domains)
        assert {row.sample.domain for row in validation} == set(cell.train.domains)
        assert all(row.outcome == "face" for row in train + validation)
        sides = [{(row.sample.domain, row.sample.subject) for row in part} for part in (train, validation)]
        assert not sides[0] & sides[1]


def test_files_hold_the_target_its_non_responses_and_the_source_threshold(tmp_path):
    paths = run_protocol(PROTOCOL, _rows(), [Model("m", Watched(), {"size": 3})], tmp_path, seeds=(3,))
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
    assert test.facts["identity"]["config"]["recipe"] == {"size": 3}
    assert (test.facts["sources"], test.facts["split"]) == (["b", "c"], "test")
    assert test.facts["versions"]


def test_without_a_validation_part_all_sources_are_learned_from_and_no_threshold_is_written(tmp_path):
    fit = Watched()
    rules = {"validation": 0, "threshold": "cross-fitted"}
    protocol = replace(PROTOCOL, **rules)
    paths = run_protocol(protocol, _rows(), [Model("m", fit)], tmp_path)
    assert sorted(tmp_path.rglob("*.csv")) == paths  # tests alone
    for path, (train, validation, _, _) in zip(paths, fit.calls, strict=True):
        file = read_scores(path)
        assert not validation
        assert {row.sample.path for row in train} == {
            row.sample.path for row in _rows() if row.outcome == "face" and row.sample.domain in file.facts["sources"]
        }
        assert file.facts["thresholds"] == {}
        assert {name: file.facts[name] for name in rules} == rules
    assert run_protocol(protocol, _rows(), [Model("m", fit)], tmp_path) == paths
    assert len(fit.calls) == 3


def test_a_finished_cell_is_skipped_and_half_a_cell_is_run_again(tmp_path):
    fit = Watched()
    paths = run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path)
    before = [path.read_bytes() for path in paths]
    assert run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path) == paths
    assert len(fit.calls) == 3
    paths[1].unlink()
    run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path)
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
        run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path)
    run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path)
    assert calls == ["to-a-seed0", "to-b-seed0", "to-b-seed0", "to-c-seed0"]


def test_files_of_another_identity_are_not_taken_for_these(tmp_path):
    """Another recipe, other pretrained weights, other data: the file says which, and nothing is fitted."""
    model = Model("m", Watched(), {"steps": 1}, {"start": "weights one"})
    run_protocol(PROTOCOL, _rows(), [model], tmp_path)
    fewer = [row for row in _rows() if row.sample.path != "a/2.jpg"]
    for other, rows, what in (
        (replace(model, config={"steps": 2}), _rows(), "recipe.steps was 1, now 2"),
        (replace(model, parents={"start": "weights two"}), _rows(), "start was 'weights one', now 'weights two'"),
        (model, fewer, "data was"),
    ):
        fit = Watched()
        with pytest.raises(ArtefactError, match=what):
            run_protocol(PROTOCOL, rows, [replace(model, name="before"), replace(other, fit=fit)], tmp_path)
        assert not fit.calls
    assert not (tmp_path / "fits" / PROTOCOL.name / "before").exists()


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
        run_protocol(PROTOCOL, _rows(), [untrained("m", score)], tmp_path)
    assert not list(tmp_path.rglob("*.csv"))


def test_a_missing_domain_is_refused_before_any_cell_runs(tmp_path):
    fit = Watched()
    with pytest.raises(InputError, match="'c'"):
        run_protocol(PROTOCOL, [row for row in _rows() if row.sample.domain != "c"], [Model("m", fit)], tmp_path)
    assert not fit.calls


def test_only_the_cells_asked_for_are_run_and_other_names_are_refused(tmp_path):
    fit = Watched()
    paths = run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path, cells=["to-b"])
    assert [path.name for path in paths] == ["to-b-seed0-test.csv"]
    assert len(fit.calls) == 1
    with pytest.raises(InputError, match="to-a, to-b, to-c"):
        run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path, cells=["to-d"])


def _videos() -> list[StoredSample]:
    """Per domain 8 people with a live and an attack video of three frames; the first frame has no face."""
    rows = []
    for domain in ("a", "b"):
        for person in range(8):
            for label, species in ((Label.LIVE, "none"), (Label.ATTACK, "print")):
                for frame in range(3):
                    path = f"{domain}/{person}-{label}.avi#{frame}"
                    sample = Sample(path, label, species, f"p{person}", domain, video=path.partition("#")[0])
                    rows.append(StoredSample(sample, "face" if frame else "no_face"))
    return rows


def test_a_video_scores_the_mean_of_its_answered_frames(tmp_path):
    def score(rows):
        frames = np.array([int(row.sample.path[-1]) for row in rows])
        return np.array([row.sample.label is Label.LIVE for row in rows]) + 0.2 * frames  # 0.2 and 0.4: mean 0.3

    protocol = Protocol("videos", (Cell("a-to-b", Part(("a",)), Part(("b",))),), unit="video mean")
    (path,) = run_protocol(protocol, _videos(), [untrained("m", score)], tmp_path)
    file = read_scores(path)
    assert (len(file.rows), file.facts["unit"]) == (16, "video mean")
    assert {row.path for row in file.rows} == {f"b/{p}-{label}.avi" for p in range(8) for label in Label}
    np.testing.assert_allclose(file.liveness(Label.LIVE), 1.3)
    np.testing.assert_allclose(file.liveness(Label.ATTACK), 0.3)


def test_a_video_without_an_answered_frame_is_a_non_response(tmp_path):
    rows = [StoredSample(row.sample, "no_face") if row.sample.path.startswith("b/0-live") else row for row in _videos()]
    protocol = Protocol("videos", (Cell("a-to-b", Part(("a",)), Part(("b",))),), unit="video mean")
    (path,) = run_protocol(protocol, rows, [untrained("m", lambda rows: np.arange(len(rows)) / 99)], tmp_path)
    silent = [row for row in read_scores(path).rows if row.liveness is None]
    assert [(row.path, row.reason) for row in silent] == [("b/0-live.avi", "no_face")]


def test_people_held_for_the_test_are_the_same_for_every_seed_and_never_trained_on(tmp_path):
    both = Part(("a",))
    protocol = Protocol("people", (Cell("a", both, both, held_subjects=0.4),))
    fit = Watched()
    first, second = run_protocol(protocol, _rows(), [Model("m", fit)], tmp_path, seeds=(0, 1))
    tested = {row.subject for row in read_scores(first).rows}
    assert tested == {row.subject for row in read_scores(second).rows}
    for train, validation, _, _ in fit.calls:
        assert not tested & {row.sample.subject for row in train + validation}


def test_the_weights_that_scored_are_named_by_their_content(tmp_path):
    def fit(train, validation, seed, folder):
        (folder / "detector.safetensors").write_bytes(b"weights")
        return _score

    path = run_protocol(PROTOCOL, _rows(), [Model("m", fit)], tmp_path)[0]
    wanted = hashlib.blake2b(b"weights", digest_size=6).hexdigest()
    assert read_scores(path).facts["weights_hash"] == {"detector.safetensors": wanted}


def test_what_is_only_learned_from_is_never_validated_on(tmp_path):
    fit = Watched()
    protocol = replace(PROTOCOL, learned_only=("b",), cells=PROTOCOL.cells[:1])
    paths = run_protocol(protocol, _rows(), [Model("m", fit)], tmp_path, seeds=(0,))
    train, validation = fit.calls[0][:2]
    assert {row.sample.domain for row in train} == {"b", "c"}
    assert {row.sample.domain for row in validation} == {"c"}
    assert read_scores(paths[0]).facts["learned_only"] == ["b"]


def test_fewer_subjects_are_learned_from_and_validation_stays(tmp_path):
    calls = {}
    for share in (1.0, 0.5):
        fit = Watched()
        protocol = replace(PROTOCOL, learned_subjects=share, cells=PROTOCOL.cells[:1])
        run_protocol(protocol, _rows(), [Model("m", fit)], tmp_path / str(share), seeds=(0,))
        calls[share] = fit.calls[0]
    assert calls[0.5][1] == calls[1.0][1]
    assert {row.sample.path for row in calls[0.5][0]} < {row.sample.path for row in calls[1.0][0]}
    assert 0.3 < len(calls[0.5][0]) / len(calls[1.0][0]) < 0.7


def test_photos_with_a_hash_in_their_name_are_no_video(tmp_path):
    """``a#1.jpg`` and ``a#2.jpg`` were once two frames of one video, and live if the first was."""
    rows = [
        StoredSample(Sample(f"{d}/{p}#{i}.jpg", label, "none" if i else "print", f"p{p}", d), "face")
        for d in ("a", "b")
        for p in range(8)
        for i, label in enumerate((Label.ATTACK, Label.LIVE))
    ]
    protocol = Protocol("photos", (Cell("a-to-b", Part(("a",)), Part(("b",))),), unit="video mean")
    (path,) = run_protocol(protocol, rows, [untrained("m", lambda rows: np.arange(len(rows)) / 99)], tmp_path)
    assert [row.path for row in read_scores(path).rows] == [row.sample.path for row in rows if row.sample.domain == "b"]


def test_a_video_of_both_labels_is_refused(tmp_path):
    rows = _videos()
    rows[-1] = StoredSample(replace(rows[-1].sample, label=Label.LIVE, attack_type="none"), "face")
    protocol = Protocol("videos", (Cell("a-to-b", Part(("a",)), Part(("b",))),), unit="video mean")
    fit = Watched()
    with pytest.raises(InputError, match="live and attack frames"):
        run_protocol(protocol, rows, [Model("m", fit)], tmp_path)
    assert not fit.calls


def test_recaptures_of_the_target_in_a_store_never_cross_into_training(tmp_path):
    """What `despoof simulate --recapture` adds to a store: each live capture shown again, under the same person."""
    again = [
        StoredSample(
            replace(row.sample, path=f"again/{row.sample.path}", domain=f"{row.sample.domain}-simulated",
                    simulated=True, origin=row.sample.domain), "face",
        )
        for row in _rows()
    ]  # fmt: skip
    fit, rows = Watched(), _rows() + again
    protocol = read_protocol("leave-one-domain-out", [row.sample for row in rows])
    paths = run_protocol(protocol, rows, [Model("m", fit)], tmp_path)
    assert [path.name for path in paths] == [f"to-{name}-seed0-test.csv" for name in DOMAINS]
    for path, (train, validation, _, _) in zip(paths, fit.calls, strict=True):
        tested = {(row.domain, row.subject) for row in read_scores(path).rows}
        assert any(row.sample.simulated for row in train)
        people = [{row.sample.person for row in part} for part in (train, validation)]
        assert not tested & (people[0] | people[1])
        assert not people[0] & people[1]


def test_a_cell_that_learns_from_a_recapture_of_its_target_is_refused(tmp_path):
    row = replace(_rows()[0].sample, path="again.jpg", domain="z", simulated=True, origin="a")
    protocol = Protocol("bad", (Cell("to-a", Part(("b",), origins=("b", "a")), Part(("a",))),))
    with pytest.raises(InputError, match="both sides"):
        run_protocol(protocol, [*_rows(), StoredSample(row, "face")], [Model("m", Watched())], tmp_path)


def test_equal_paths_of_two_folders_are_two_samples(tmp_path):
    sources = {source: _rows() for source in ("one", "two")}
    rows = [
        replace(row, sample=replace(row.sample, source=source, subject=f"{source} {row.sample.subject}"))
        for source, each in sources.items()
        for row in each
    ]
    for path in run_protocol(PROTOCOL, rows, [untrained("m", _score)], tmp_path):
        found = read_scores(path).rows
        assert len({row.key for row in found}) == len(found) == 2 * len({row.path for row in found})


def test_what_a_model_lacks_is_said_before_another_is_fitted(tmp_path):
    def lacking():
        raise ArtefactError("no counterparts")

    fit = Watched()
    with pytest.raises(ArtefactError, match="no counterparts"):
        run_protocol(PROTOCOL, _rows(), [Model("first", fit), Model("second", fit, ready=lacking)], tmp_path)
    assert not fit.calls


def test_a_domain_of_simulated_captures_is_neither_source_nor_target_by_its_name(tmp_path):
    """They would be held by no part, and the cell would run as if they were not there."""
    made = [
        StoredSample(replace(row.sample, domain="made", path=f"made/{row.sample.path}", simulated=True), "face")
        for row in _rows()
    ]
    for train, test in ((("b", "made"), ("a",)), (("b",), ("made",))):
        protocol = Protocol("named", (Cell("one", Part(train), Part(test)),))
        with pytest.raises(InputError, match="needs domain 'made'.*`simulated`"):
            run_protocol(protocol, [*_rows(), *made], [Model("m", Watched())], tmp_path)
