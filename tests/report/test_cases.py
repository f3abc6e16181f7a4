"""Cases by hand-ranked liveness, and their pictures by known pixels: a wrong order shows the wrong person."""

import cv2
import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.explanation import heat
from despoof.faces.align import face_hash
from despoof.faces.counterparts import CounterpartCache
from despoof.faces.store import Store, StoredSample
from despoof.report.cases import GAP, best_and_worst, case_sheet

LIVE = {"a": 0.9, "b": 0.2, "c": 0.8, "d": 0.2, "e": None}
ATTACK = {"f": 0.7, "g": 0.1, "h": 0.3}


def _file(live=LIVE, attack=ATTACK):
    rows = [
        ScoreRow(path, path, "x", label, species, value, "no_face" if value is None else "")
        for label, species, values in ((Label.LIVE, "none", live), (Label.ATTACK, "print", attack))
        for path, value in values.items()
    ]
    facts = {"protocol": "p", "cell": "c", "model": "m", "seed": 0, "split": "test"}
    return ScoreFile(tuple(rows), facts | {"thresholds": {"source_eer": {"value": 0.7, "origin": "sources"}}})


def _told(cases):
    return [(case.row.path, case.word, case.accepted) for case in cases]


def test_best_live_scores_high_and_best_attack_low():
    assert _told(best_and_worst(_file(), count=1)) == [
        ("a", "best", True),
        ("d", "worst", False),
        ("g", "best", False),
        ("f", "worst", True),  # at the threshold is accepted
    ]


def test_equal_liveness_goes_by_path_and_nothing_is_shown_twice():
    assert [case.row.path for case in best_and_worst(_file(), count=2)] == ["a", "c", "d", "b", "g", "h", "f"]
    assert [case.row.path for case in best_and_worst(_file(live={"a": 0.9}), count=2)][:2] == ["a", "g"]


def test_kinds_name_the_species():
    assert {case.kind for case in best_and_worst(_file())} == {"live", "attack, print"}


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "store", about={"face_size": 256})
    for path, grey in (("one.jpg", 100), ("clip.mp4#0", None), ("clip.mp4#5", 40), ("clip.mp4#9", 60)):
        outcome = "no_face" if grey is None else "face"
        face = None if grey is None else np.full((256, 256, 3), grey, np.uint8)
        video = "clip.mp4" if "#" in path else ""
        opened.add(StoredSample(Sample(path, Label.LIVE, video=video), outcome), face)
    return opened


def _scored(path):
    return ScoreRow(path, "", "", Label.LIVE, "none", 0.5)


def _counterpart(store, row):
    """Twenty brighter than a face of 100 on the left half, red alone."""
    picture = np.full((32, 32, 3), 100, np.uint8)
    picture[:, :16, 0] = 120
    folder = store.root / "counterparts" / "trial"
    CounterpartCache(folder, {"size": 32}).add({face_hash(store.faces([row], 32)[0]): picture})
    return folder


def _pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_sheet_is_face_then_counterpart_then_cue(store, tmp_path):
    folder = _counterpart(store, store.rows[0])
    picture = _pixels(case_sheet(store, folder)(_scored("one.jpg")))
    assert picture.shape == (32, 3 * 32 + 2 * GAP, 3)
    face, counterpart, cue = (picture[:, start : start + 32] for start in (0, 32 + GAP, 64 + 2 * GAP))
    assert (face == 100).all()
    assert (counterpart[:, :16] == (120, 100, 100)).all()
    # Less red in the face than in the counterpart is dark red there, and nothing stands out elsewhere.
    assert cue[0, 0, 0] < cue[0, 0, 1] == cue[0, 31, 0]


def test_sheet_shows_a_map_in_colours_where_there_is_one(store):
    folder = _counterpart(store, store.rows[0])

    def departs(face, counterpart):
        return np.abs(face[..., 0].astype(float) - counterpart[..., 0]) / 40

    difference = _pixels(case_sheet(store, folder, departs)(_scored("one.jpg")))[:, 64 + 2 * GAP :]
    assert (difference == heat(np.repeat([[0.5, 0.0]], 32, 0).repeat(16, 1))).all()


def test_a_video_is_shown_by_its_first_frame_with_a_face(store, tmp_path):
    folder = _counterpart(store, store.rows[2])
    assert (_pixels(case_sheet(store, folder)(_scored("clip.mp4")))[:, :32] == 40).all()


def test_what_is_not_there_is_named(store, tmp_path):
    sheet = case_sheet(store, tmp_path)
    with pytest.raises(InputError, match="other.jpg"):
        sheet(_scored("other.jpg"))
    with pytest.raises(ArtefactError, match="despoof reconstruct"):
        sheet(_scored("one.jpg"))
