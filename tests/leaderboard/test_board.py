"""The board against sets small enough to count by hand: a threshold from the camera that is judged, a camera that the
weights learned, or a peer given too little would make one model look better than it is."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import ConfigError, InputError
from despoof.evaluation.cameras import APCER, AUC, BPCER, HTER
from despoof.evaluation.peers.peer import PlacedPeer, packaged_names, read_peer
from despoof.evaluation.protocols import read_protocol
from despoof.evaluation.tables import read_tests
from despoof.faces.detect import FoundFace
from despoof.faces.store import Store, StoredSample
from despoof.leaderboard import entry as module
from despoof.leaderboard.board import (
    APCER_SHIPPED,
    BPCER_SHIPPED,
    HTER_SHIPPED,
    SMALL,
    board,
    captured,
    on_board,
)  # fmt: skip
from despoof.leaderboard.cost import Time, megabytes, parameters, side_by_side
from despoof.leaderboard.entry import Entry, our_entry, peer_entries, require_apart
from despoof.leaderboard.page import about, board_rows, mark_lines, write_board
from despoof.studies.stability.disturbances import DISTURBANCES
from score_files import random_folds
from tiny_onnx import mean_network

LIVE = {"a": (0.9, 0.8, 0.3), "b": (0.6, 0.5)}  # liveness by camera
ATTACK = {"a": (0.7, 0.1), "b": (0.55, 0.2, 0.15, 0.1)}


def row(camera: str, label: Label, number: int, folder: str = "", **facts) -> StoredSample:
    sample = Sample(f"{camera}-{label.value}-{number}.png", label, domain=camera, subject=str(number), source=folder)
    return StoredSample(sample, facts.pop("outcome", "face"), **facts)


def rows_of(scores: dict[Label, dict[str, tuple]]) -> tuple[list[StoredSample], dict[str, float]]:
    rows, answers = [], {}
    for label, cameras in scores.items():
        for camera, values in cameras.items():
            for number, value in enumerate(values):
                rows.append(row(camera, label, number))
                answers[rows[-1].key] = value
    return rows, answers


def entry_of(answers: dict[str, float], name: str = "toy", threshold: float = 0.5, **more) -> Entry:
    return Entry(name, "none", (), answers, threshold, lambda scene: None, **more)


@pytest.fixture
def both() -> tuple[list[StoredSample], dict[str, float]]:
    return rows_of({Label.LIVE: LIVE, Label.ATTACK: ATTACK})


def test_thresholds_are_the_shipped_one_and_the_other_camera_s(both: tuple, tmp_path: Path) -> None:
    found = on_board(entry_of(both[1]), both[0], tmp_path, rounds=0)
    # At .5: camera a errs on .3 of three live and .7 of two attacks; b on no live and .55 of four attacks.
    assert found.figures[BPCER_SHIPPED].values[0].tolist() == pytest.approx([1 / 3, 0])
    assert found.figures[APCER_SHIPPED].values[0].tolist() == pytest.approx([1 / 2, 1 / 4])
    assert found.figures[HTER_SHIPPED].values[0].tolist() == pytest.approx([5 / 12, 1 / 8])
    # Of a alone rates are nearest between .3 and .7 (1/3 and 1/2), so b is judged at .5; of b alone at .525 (1/2 and
    # 1/4) or below .5 (0 and 1/4): these differ alike, the lower mean is taken, .35, where a errs as at .5.
    assert found.figures[BPCER].values[0].tolist() == pytest.approx([1 / 3, 0])
    assert found.figures[APCER].values[0].tolist() == pytest.approx([1 / 2, 1 / 4])
    assert found.figures[AUC].values[0].tolist() == pytest.approx([5 / 6, 7 / 8])


def test_a_camera_s_own_scores_do_not_move_its_threshold(both: tuple, tmp_path: Path) -> None:
    rows, answers = both
    above = {each.key for each in rows if each.sample.domain == "a"}
    shifted = {key: value + (key in above) for key, value in answers.items()}
    found = on_board(entry_of(shifted), rows, tmp_path, rounds=0)
    assert found.figures[BPCER].values[0, 0] == 0  # a's live lie above any threshold of b
    assert found.figures[APCER].values[0, 0] == 1
    assert found.figures[BPCER].values[0, 1] == 1  # and b's below any of a


def test_no_answer_is_an_error_and_is_counted(both: tuple, tmp_path: Path) -> None:
    rows, answers = both
    silent = replace(rows[0], outcome="no_face")
    found = on_board(entry_of(answers | {rows[1].key: np.nan}), [silent, *rows[1:]], tmp_path, rounds=0)
    assert found.figures[BPCER_SHIPPED].values[0, 0] == 1
    assert found.figures["no answer"].values[0].tolist() == pytest.approx([2 / 5, 0])
    reasons = {one.reason for file in read_tests(tmp_path) for one in file.rows}
    assert reasons == {"", "no_face", "no_score"}


def test_of_one_camera_nothing_hangs_on_a_threshold_that_is_not_there(both: tuple, tmp_path: Path) -> None:
    rows = [each for each in both[0] if each.sample.domain == "a"]
    entries = [entry_of(both[1]), entry_of(both[1], "other", 0.75)]
    models = [on_board(each, rows, tmp_path, rounds=20) for each in entries]
    values = board(entries, models, {}, {})
    figures = values["rows"][1]["figures"]
    assert figures[HTER] == {"value": None, "low": None, "high": None}
    assert figures[HTER_SHIPPED]["value"] == pytest.approx(1 / 6)
    assert values["toy minus"][0]["figures"][HTER]["value"] is None
    assert values["toy minus"][0]["figures"][HTER_SHIPPED]["value"] == pytest.approx(5 / 12 - 1 / 6)
    write_board(tmp_path, about(runs=0) | values)


def test_folds_are_those_of_evaluate(tmp_path: Path) -> None:
    """So that one and the same score gives one and the same figure there and here."""
    rng = np.random.default_rng(0)
    scores = {label: {f"cam{i}": tuple(rng.uniform(size=4 + i)) for i in range(9)} for label in Label}
    rows, answers = rows_of(scores)
    on_board(entry_of(answers), rows, tmp_path, rounds=0)
    wanted = read_protocol("leave-cameras-out", [each.sample for each in rows])
    made = {file.facts["cell"]: {one.domain for one in file.rows} for file in read_tests(tmp_path)}
    assert made == {cell.name: set(cell.test.domains) for cell in wanted.cells}


def test_ours_minus_a_peer_is_paired(both: tuple, tmp_path: Path) -> None:
    rows, answers = rows_of({label: {"a": tuple(np.linspace(0, 1, 20) ** p), "b": tuple(np.linspace(0, 1, 20) ** p)}
                             for label, p in ((Label.LIVE, 0.5), (Label.ATTACK, 2))})  # fmt: skip
    worse = {key: 0.5 * value for key, value in answers.items()}  # the same order, another level
    entries = [entry_of(answers, "despoof"), entry_of(worse, "peer")]
    models = [on_board(each, rows, tmp_path, rounds=200) for each in entries]
    figures = board(entries, models, {}, {})["despoof minus"][0]["figures"]
    assert figures[AUC] == {"value": 0, "low": 0, "high": 0}
    assert figures[HTER]["value"] == pytest.approx(0)  # its threshold moves with it
    assert figures[HTER_SHIPPED]["high"] < 0 or figures[HTER_SHIPPED]["low"] > 0


def test_one_label_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, about={"made": "here"})
    store.rows = [row("a", Label.LIVE, 0)]
    with pytest.raises(InputError, match="not of both labels"):
        captured(store)
    with pytest.raises(ConfigError, match="'toy' stands twice"):
        require_apart(["despoof", "toy", "toy"])


# What ours is judged by


class StubEngine:
    """Liveness is the face's red, its embedding the mean colour; says how often it was asked."""

    facts = {"licence": "mine", "temperature": 2.0, "offset": 0.5, "identity": {
        "config": {"kernel": 1, "seed": 0}, "parents": {"near": "n0"}}}  # fmt: skip

    def __init__(self) -> None:
        self.config = type("Config", (), {"face_size": 128, "uses_surroundings": False, "uses_cue": False})
        self.asked = 0

    def judge(self, faces: np.ndarray, around: None, lap: object) -> module.Guard:
        self.asked += len(faces)
        colour = faces.reshape(len(faces), -1, 3).mean(1) / 255
        return type("Judged", (), {"__iter__": lambda self: iter((colour[:, 0], None, colour))})()


class StubGuard:
    engine_name, weights, thresholds, find = "onnx", {"detector": "d0"}, (0.2, 0.5), None

    def __init__(self) -> None:
        self.engine = StubEngine()

    def check_faces(self, scene: object) -> None:
        """Not asked here."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two cameras of twenty faces of one colour each."""
    store = Store(tmp_path / "store", about={"made": "here"})
    for camera, base in (("known", 10), ("new", 110)):
        for number in range(20):
            label = Label.LIVE if number % 2 else Label.ATTACK
            face = np.full((256, 256, 3), base + 4 * number, np.uint8)
            room = {"room": 1.0 + number / 10}
            store.add(row(camera, label, number, str(tmp_path), quality=room), face)
    return store


@pytest.fixture
def centres(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights learned from the fourth face of camera `known`."""
    monkeypatch.setattr(module, "_centres", lambda guard, weights: np.array([[22 / 255] * 3, [0.9, 0.1, 0.5]]))


def scored(store: Store, **facts) -> list:
    """Cross-fitted scores of detectors made as the stub, .25 of every picture."""
    file = random_folds(0, count=2)[0]
    told = {"simulated": "none", "sources": [], "identity": {
        "config": {"recipe": {"kernel": 1}}, "parents": {"near": "n0"}}} | facts  # fmt: skip
    files = []
    for number, camera in enumerate(("known", "new")):
        rows = [one for one in store.rows if one.sample.domain == camera]
        made = tuple(type(file.rows[0]).from_sample(one.sample, 0.25) for one in rows)
        files.append(replace(file, rows=made, facts=file.facts | told | {"cell": f"fold-{number}"}))
    return files


def test_a_camera_of_which_a_face_was_learned_is_named(store: Store, centres: None, tmp_path: Path) -> None:
    guard = StubGuard()
    found = our_entry(guard, "default", store, store.rows, tmp_path / "out")
    assert (found.learned, found.unknown, found.left_out) == (("known",), (), ())
    assert found.answers[store.rows[0].key] == pytest.approx(10 / 255)
    assert guard.engine.asked == 40
    our_entry(guard, "default", store, store.rows, tmp_path / "out")
    assert guard.engine.asked == 40  # kept


def test_with_scores_the_known_camera_is_judged_by_who_never_saw_it(
    store: Store, centres: None, tmp_path: Path
) -> None:
    guard = StubGuard()
    found = our_entry(guard, "default", store, store.rows, tmp_path / "out", scored=scored(store))
    assert (found.learned, found.left_out) == ((), ("known",))
    logit = np.log(0.25 / 0.75)
    calibrated = 1 / (1 + np.exp(-(logit - 0.5) / 2.0))  # as the weights are
    by_camera = {each.key: each.sample.domain for each in store.rows}
    known = [found.answers[key] for key, camera in by_camera.items() if camera == "known"]
    assert known == pytest.approx([calibrated] * 20)
    assert found.answers[store.rows[-1].key] == pytest.approx((110 + 4 * 19) / 255)  # the new one by the weights
    assert guard.engine.asked == 16 + 20  # no more of a camera than tells


def test_weights_that_do_not_say_what_they_learned_are_taken_to_have_learned_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_centres", lambda guard, weights: None)
    found = our_entry(StubGuard(), "default", store, store.rows, tmp_path / "out")
    assert (found.learned, found.unknown) == ((), ("known", "new"))
    found = our_entry(StubGuard(), "default", store, store.rows, tmp_path / "scored", scored=scored(store))
    assert found.left_out == ("known", "new")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"identity": {"config": {"recipe": {"kernel": 2}}, "parents": {"near": "n0"}}}, "0 models"),
        ({"identity": {"config": {"recipe": {"kernel": 1}}, "parents": {"near": "n1"}}}, "0 models"),
        ({"simulated": "recaptures"}, "0 models"),
        ({"seed": 1}, "0 models"),
        ({"threshold": "sources"}, "0 models"),
        ({"sources": ["another"]}, "another"),
    ],
)
def test_scores_of_other_detectors_are_refused(
    store: Store, centres: None, tmp_path: Path, changed: dict, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        our_entry(StubGuard(), "default", store, store.rows, tmp_path / "out", scored=scored(store, **changed))


def test_scores_that_lack_a_picture_are_refused(store: Store, centres: None, tmp_path: Path) -> None:
    files = scored(store)
    files[0] = replace(files[0], rows=files[0].rows[:-1])
    with pytest.raises(InputError, match="no score of 1 pictures"):
        our_entry(StubGuard(), "default", store, store.rows, tmp_path / "out", scored=files)


def test_the_centres_of_the_default_weights_are_found() -> None:
    """Their own embeddings lie in the file, so a store's faces can be told to be among them."""
    import despoof

    guard = despoof.load(engine="onnx", threads=1)
    centres = module._centres(guard, "default")
    assert centres.shape[1] == guard.engine.config.embedding
    assert module._among(centres[:5].astype(np.float32), centres) == [True] * 5
    assert module._among(centres[:5].astype(np.float32) + 0.05, centres) == [False] * 5
    guard.engine.weights = {"detector": "another"}
    assert module._centres(guard, "default") is None


# Public models


def box(image: np.ndarray) -> list[FoundFace]:
    return [FoundFace((20.0, 20.0, 40.0, 40.0), np.zeros((5, 2), np.float32), 1.0)]


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Path:
    """A model of the mean red, and originals of one red each; the last is found to hold no face."""
    mean_network(tmp_path / "toy.onnx", [[1, 0, 0]], 40)
    spec = tmp_path / "toy.toml"
    spec.write_text(
        'name = "toy"\nlicence = "none"\nneeds = "surroundings"\nthreshold = 0.4\n[[networks]]\nfile = "toy.onnx"\n'
        'scale = 2.0\nsize = 40\ncolour = "rgb"\nrange = [0.0, 1.0]\noutput = "probabilities"\nlive = 0\n'
    )
    for number, each in enumerate(store.rows):
        picture = np.full((80, 80, 3), (number, 5, 200), np.uint8)
        picture[::2, ::2, 1] = 90  # no blank border
        cv2.imwrite(each.sample.file, picture[..., ::-1])
    return spec


def test_a_peer_judges_the_originals_and_what_it_lacks_is_counted(store: Store, toy: Path, tmp_path: Path) -> None:
    placed, seen = read_peer(toy), []

    def find(image: np.ndarray) -> list[FoundFace]:
        seen.append(int(image[0, 0, 0]))
        return [] if seen[-1] == 39 else box(image)

    found = peer_entries([placed], store.rows, tmp_path / "out", [], find)[0]
    assert [found.answers[each.key] for each in store.rows[:39]] == pytest.approx(
        [n / 255 for n in range(39)], abs=1e-6
    )
    assert np.isnan(found.answers[store.rows[39].key])
    assert found.lacking == 20  # of each camera, rooms of 1.0 to 1.9
    assert (found.threshold, found.licence, found.files) == (0.4, "none", (tmp_path / "toy.onnx",))
    count = len(seen)
    assert peer_entries([placed], store.rows, tmp_path / "out", [], find)[0].answers.keys() == found.answers.keys()
    assert len(seen) == count  # kept


def test_a_peer_is_opened_once_and_only_when_it_is_asked(
    store: Store, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(PlacedPeer, "open", lambda placed: opened.append(placed) or (lambda image, face: 0.5))
    for _ in range(2):  # the second time all answers are kept
        entry = peer_entries([read_peer(toy)], store.rows[:2], tmp_path / "out", [], box)[0]
        assert len(opened) == 1
    scene = SimpleNamespace(image=None, faces=[None])
    assert entry.judge(scene) == entry.judge(scene) == 0.5  # as for its time
    assert len(opened) == 2


def test_another_spec_does_not_take_the_answers_of_the_first(store: Store, toy: Path, tmp_path: Path) -> None:
    peer_entries([read_peer(toy)], store.rows[:2], tmp_path / "out", [], box)
    toy.write_text(toy.read_text().replace("scale = 2.0", "scale = 1.0"))
    with pytest.raises(Exception, match="another run: config.networks was"):
        peer_entries([read_peer(toy)], store.rows[:2], tmp_path / "out", [], box)


def test_scores_of_the_same_files_are_not_made_again(store: Store, toy: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    placed = read_peer(toy)
    own = scored(store, model="toy", identity={"parents": placed.hashes})
    monkeypatch.setattr(module, "original", lambda row: pytest.fail("judged again"))
    with pytest.raises(pytest.fail.Exception):  # of a spec that a user wrote, scores do not say that it was this one
        peer_entries([placed], store.rows, tmp_path / "out", own, box)
    monkeypatch.setattr(module, "packaged_names", lambda: ("toy",))
    monkeypatch.setattr(module, "packaged", lambda name, folder: placed)
    found = peer_entries([placed], store.rows, tmp_path / "out", own, box)[0]
    assert set(found.answers.values()) == {0.25}
    toy.write_text(toy.read_text().replace("scale = 2.0", "scale = 1.0"))  # the same files, used otherwise
    with pytest.raises(pytest.fail.Exception):
        peer_entries([read_peer(toy)], store.rows, tmp_path / "other", own, box)
    assert "toy" not in packaged_names()


# Costs and page


def test_costs_are_counted(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra `export`")
    file = mean_network(tmp_path / "toy.onnx", [[1, 0, 0], [0, 1, 0]], 8)
    assert parameters([file, file]) == 2 * 6  # the axes are no parameters
    assert megabytes([file, file]) == pytest.approx(2 * len(file.read_bytes()) / 1e6)
    asked = []
    found = side_by_side({"one": lambda scene: asked.append("one"), "two": lambda scene: asked.append("two")}, None, 5)
    assert asked == ["one", "two"] * 8  # in turn, three rounds to warm up
    assert found["one"].low <= found["one"].median <= found["one"].high


def test_disturbances_are_known() -> None:
    assert set(SMALL) <= set(DISTURBANCES)


def test_the_page_marks_what_is_not_what_it_seems(both: tuple, tmp_path: Path) -> None:
    rows, answers = both
    entries = [
        entry_of(answers, "despoof", learned=("a",)), entry_of(answers, "peer", lacking=7), entry_of(answers, "fair"),
    ]  # fmt: skip
    models = [on_board(each, rows, tmp_path, rounds=20) for each in entries]
    steady = {each.name: {"value": 0.03, "low": -0.01, "high": 0.07} for each in entries}
    times = {each.name: Time(2.0, 1.5, 2.5) for each in entries}
    values = about(runs=5) | board(entries, models, times, steady)
    page = write_board(tmp_path, values).read_text(encoding="utf-8")
    table = [line[0] for line in board_rows(values["rows"])[1:]]
    assert table == ["despoof ‡", "peer †", "fair"]
    lines = mark_lines(values)
    assert "‡ despoof learned these: it learned from 1 of the 2 cameras" in lines[0]
    assert "† peer is outside its specification on 7 of 11 faces" in lines[1]
    assert len(lines) == 2
    assert all(line in page.replace("&#39;", "'") for line in lines)
    assert "threshold from other cameras" in page
    assert "no certification" in page
    told = json.loads((tmp_path / "leaderboard.json").read_text())
    assert told["rows"][0]["learned"] == ["a"]
    unknown = replace(entries[0], learned=(), unknown=("a", "b"))
    left = replace(entries[0], learned=(), left_out=("a", "b"))
    new = replace(entries[0], learned=())
    said = [mark_lines(about(runs=5) | board([each], models[:1], {}, {}))[0] for each in (unknown, left, new)]
    assert "cannot be told" in said[0]
    assert "never saw the camera" in said[1]
    assert "none of these faces lies near" in said[2]
