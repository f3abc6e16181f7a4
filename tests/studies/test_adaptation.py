"""The study of adaptation: what is shown is never tested, a planted gain is found and chance gives none, and folds are
read as their detectors judge."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from despoof.cli.app import build_app
from despoof.data.sample import Label, Sample
from despoof.detector.batches import gather
from despoof.detector.config import PROBE
from despoof.detector.network import Detector, save_detector
from despoof.detector.recipe import FILE
from despoof.detector.scoring import fit_calibration, logits
from despoof.errors import InputError
from despoof.faces.store import Store, StoredSample
from despoof.runs.folder import write_json
from despoof.runs.seed import item_rng
from despoof.studies.adaptation.coverage import coverage_table
from despoof.studies.adaptation.level import level_table, measure_level, others_live
from despoof.studies.adaptation.sheet import write_sheet
from despoof.studies.adaptation.study import Unseen, measure, rows, split, unseen

CONFIG = replace(PROBE, backbone="tiny_cnn", face_size=64, statistics=(2, 4, 8), insertion="none", embedding=4)


def made(sign: float, *, cameras: int = 4, people: int = 20, each: int = 3) -> Unseen:
    """Liveness of chance; embeddings that say the class, another way on each camera, by `sign`."""
    rng, count = np.random.default_rng(0), 2 * cameras * people * each
    camera, live = np.arange(count) % cameras, np.arange(count) // cameras % 2 == 0
    person = np.array([f"s{i}" for i in np.arange(count) // (2 * cameras) % people])
    person[camera == 0] = "c0"  # people are not told apart
    way = rng.choice([-1, 1], (cameras, 5))[camera]
    embedding = rng.standard_normal((count, 5)) / 3 + sign * way * np.where(live, 1, -1)[:, None]
    names = np.array([f"c{i}" for i in camera])
    return Unseen(rng.uniform(0.3, 0.7, count), embedding, live, names, person, 1.0)


@pytest.mark.parametrize(("sign", "gains"), [(1.0, True), (0.0, False)])
def test_a_planted_gain_is_found_and_chance_gives_none(sign, gains):
    cameras = measure(made(sign), counts=(0, 1, 5, 20), draws=4)
    assert {camera.name: camera.by for camera in cameras} == {"c0": "captures"} | dict.fromkeys(
        ("c1", "c2", "c3"), "people"
    )
    found = {row.shown: row for row in rows(cameras)}
    assert found[0].difference.value == found[0].difference.high == 0
    assert (found[20].difference.high < -20) is gains
    assert (found[20].difference.low > -15) is not gains
    assert found[1].thresholds is None
    assert 30 < found[5].thresholds.value < 70
    assert found[20].cameras == 4


def test_no_person_is_on_both_sides_and_no_capture_where_people_are_unknown():
    found, rng = made(1.0), item_rng("any")
    for name, by in (("c0", "captures"), ("c1", "people")):
        places = np.flatnonzero(found.camera == name)
        shown, tested = split(found, places, by, rng)
        assert sorted([*shown, *tested]) == list(places)
        if by == "people":
            assert not set(found.person[shown]) & set(found.person[tested])
            assert len(set(found.person[shown])) == 10
        else:  # the tested of a class are neighbours
            own = np.isin(places[found.live[places]], tested).astype(int)
            assert np.abs(np.diff(own)).sum() <= 2
        assert 0 < found.live[shown].sum() < len(shown)


def test_a_count_that_a_camera_has_not_is_left_out_and_so_is_a_camera_of_few(tmp_path):
    cameras = measure(made(1.0, each=1, people=10), counts=(0, 2, 50), draws=3)
    assert all(set(camera.trials) == {0, 2} for camera in cameras)
    assert measure(made(1.0, each=1, people=4), counts=(0,), draws=2) == []
    text = write_sheet(tmp_path, cameras)
    assert "as it is" in text
    assert (tmp_path / "report.png").stat().st_size > 5000


def test_live_alone_mend_a_camera_off_its_level_and_their_cost_is_told():
    """Cameras alike but for a level of their own: half of the way back mends those above, lifts those below by 1."""
    rng, offsets = np.random.default_rng(0), {"a": 0.5, "b": 0.5, "c": 3.0, "d": -3.0}
    live = np.arange(400) < 200
    shape = np.where(live, 2.0, -2.0) + rng.standard_normal(400) / 4
    logit = np.concatenate([shape + each for each in offsets.values()])
    camera = np.repeat(list(offsets), 400)
    person = np.tile([f"s{i % 20}" for i in range(400)], 4)
    found = Unseen(expit(logit), np.zeros((1600, 1)), np.tile(live, 4), camera, person, 1.0)
    cameras = {each.name: each for each in measure_level(found, counts=(5, 20), draws=3)}
    plain_c, after_c = cameras["c"].rates[5][:, 1], cameras["c"].rates[5][:, 3]
    others = np.mean([2.5, 2.5, -1.0])
    assert cameras["c"].shift[5] == pytest.approx((others - 5) / 2, abs=0.3)
    assert (plain_c == 1).all()
    assert (after_c == 0).all()  # attacks at 1 fall below 0
    assert cameras["d"].shift[5] == 1.0  # and no further, though half of the way would be 2.5
    assert (cameras["d"].rates[5][:, [0, 2]] > 0.4).all()
    assert others_live(found) == pytest.approx(2.25, abs=0.1)
    table = level_table(list(cameras.values()))
    assert "| 5 " in table
    assert "0.0 → 0.0 (1 cameras)" in table


def test_errors_near_the_threshold_go_with_the_band_and_cameras_weigh_alike():
    """Of camera a, large, all errors are near 0; of camera b, small, the one error is far from it."""
    a = np.r_[np.full(90, 3.0), np.full(10, -0.1)], np.r_[np.full(90, -3.0), np.full(10, 0.1)]
    b = np.r_[np.full(9, 3.0), -5.0], np.full(10, -3.0)
    logit = np.concatenate([*a, *b])
    live = np.concatenate([np.full(100, True), np.full(100, False), np.full(10, True), np.full(10, False)])
    camera, person = np.repeat(["a", "b"], [200, 20]), np.array([f"s{i}" for i in range(220)])
    table = coverage_table(Unseen(expit(logit), np.zeros((220, 1)), live, camera, person, 1.0))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert rows[0][:5] == ["none", "0.0", "0.0", "10.0", "5.0"]
    assert rows[1][1:5] == ["5.0", "5.0", "5.0", "0.0"]  # the near errors of a are gone, b's stays
    assert [row[0].split(",")[0] for row in rows[-3:]] == [f"UNCERTAIN of point {name}" for name in
                                                           ("strict", "balanced", "lenient")]  # fmt: skip


def test_folds_are_read_as_their_detectors_judge_and_calibrated_on_the_others(tmp_path, capsys):
    store, rng, keys = Store(tmp_path / "captures", about={"face_size": 256}), np.random.default_rng(0), ([], [])
    for i in range(48):
        label, species = (Label.LIVE, "none") if i % 2 else (Label.ATTACK, "print")
        sample = Sample(f"{i:02d}.png", label, species, f"s{i}", f"c{i // 24}")
        store.add(StoredSample(sample, "face"), rng.integers(0, 256, (256, 256, 3)).astype(np.uint8))
        keys[i // 24].append(sample.key)
    detectors = []
    for number, own in enumerate(keys):
        torch.manual_seed(number)
        detectors.append(Detector(CONFIG).eval())
        save_detector(tmp_path / f"run/fold-{number}" / FILE, detectors[-1])
        write_json(tmp_path / f"run/fold-{number}/logits.json", {"logits": dict.fromkeys(own, 0.0)})
    found = unseen(store, tmp_path / "run")
    stored = {row.key: row for row in store.with_face()}
    sets = [gather(store, [stored[key] for key in own], CONFIG, None) for own in keys]
    own = [logits(each, part) for each, part in zip(detectors, sets, strict=True)]
    temperature, offset = fit_calibration(own[1], sets[1].live)
    np.testing.assert_allclose(found.liveness[:24], expit((own[0] - offset) / temperature), atol=1e-5)
    assert found.embedding.shape == (48, 4)
    assert found.width is None
    command = ["study", "adaptation", tmp_path / "out", tmp_path / "captures", tmp_path / "run", "--draws", "2"]
    build_app()([str(token) for token in command], result_action="return_value")
    said = capsys.readouterr().out
    parts = [(tmp_path / "out" / f"{name}.md").read_text() for name in ("report", "live-alone", "coverage")]
    assert said == "\n".join(parts)
    with pytest.raises(InputError, match="0 folds"):
        unseen(store, Path(tmp_path / "captures"))
