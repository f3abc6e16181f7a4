"""A correction is adopted where it mends errors on people left out, and never by chance; a guard then follows it."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit, logit
from scipy.stats import bootstrap

import despoof
from despoof.adaptation import (
    OTHERS_LIVE,
    Faces,
    adapt,
    adapt_level,
    fit_correction,
    left_out,
    look_at,
    paired_interval,
)
from despoof.cli.app import build_app
from despoof.data.manifest import read_source
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.evaluation.measure import measure
from despoof.pipeline import Guard
from despoof.profile import MAX_BYTES, read_profile, write_profile


def guard() -> SimpleNamespace:
    engine = SimpleNamespace(
        facts={"thresholds": {"attack_below": 0.3, "live_from": 0.5}}, precision="float32",
        config=SimpleNamespace(kernel=0),
    )  # fmt: skip
    rest = {"weights": {"detector": "ab"}, "preprocessing": {"face_size": 256}, "engine_name": "torch"}
    return SimpleNamespace(engine=engine, **rest)


def faces(live: bool, rng: np.random.Generator, *, people: int = 12, sign: float = 1.0, numbers: int = 6) -> Faces:
    """Four photos of each person, whose embedding says the class; liveness says it no better than chance."""
    count = 4 * people
    embedding = rng.standard_normal((count, numbers)) / 3 + (sign if live else -sign)
    person = [f"person {i // 4}" for i in range(count)]
    return Faces(rng.uniform(0.2, 0.8, count), embedding, person, [f"{i // 4}/{i}.png" for i in range(count)])


def test_what_mends_errors_is_adopted_with_thresholds_of_people_left_out():
    rng = np.random.default_rng(0)
    live, attack = faces(True, rng), faces(False, rng)
    found = adapt(guard(), live, {"print": attack}, bpcer=0.05, name="door")
    assert found.plain > 0.3
    assert found.corrected < 0.05
    assert found.difference.high < 0
    point = found.profile.photos
    assert (point.bpcer.presented, point.bpcer.errors) == (48, 2)
    assert point.apcer["print"].presented == 48
    everything = np.concatenate([live.liveness, attack.liveness]), np.concatenate([live.embedding, attack.embedding])
    labels, people = np.arange(96) < 48, np.array(live.person + attack.person)
    own = people == "person 3"  # by hand: the others alone are learned from
    expected = fit_correction(everything[1][~own], everything[0][~own], labels[~own]).corrected(
        everything[0][own], everything[1][own]
    )
    seen = left_out(
        lambda others: fit_correction(everything[1][others], everything[0][others], labels[others]),
        *everything, people,
    )  # fmt: skip
    np.testing.assert_allclose(seen[own], expected)
    assert point.live_from == pytest.approx(np.sort(seen[:48])[2])
    whole = fit_correction(everything[1], everything[0], labels)
    np.testing.assert_allclose(found.profile.correction.weights, whole.weights)


def test_labels_of_chance_are_never_adopted():
    adopted = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        live, attack = faces(True, rng, sign=0.0), faces(False, rng, sign=0.0)
        found = adapt(guard(), live, {"print": attack})
        adopted += found.profile is not None
        if found.profile is None:
            assert "Nothing is adopted" in found.lines[-1]
            assert f"{found.plain:.1%} as it is, {found.corrected:.1%} corrected" in found.lines[0]
    assert adopted <= 4  # one in forty at chance


def test_a_person_who_is_a_shortcut_gives_nothing():
    """Each person's embedding is their own and says their class, as where every person was shown one way alone."""
    rng = np.random.default_rng(1)
    own = rng.standard_normal((24, 6)) * 3

    def of(first: int) -> Faces:
        person = [f"person {first + i // 4}" for i in range(48)]
        embedding = np.repeat(own[first : first + 12], 4, 0) + rng.standard_normal((48, 6)) / 100
        return Faces(rng.uniform(0.2, 0.8, 48), embedding, person, [f"{i}.png" for i in range(48)])

    assert adapt(guard(), of(0), {"print": of(12)}).profile is None


def test_the_interval_is_scipys_where_each_face_is_a_person():
    rng = np.random.default_rng(2)
    errors, live = rng.random((2, 300)) < np.array([[0.3], [0.15]]), np.arange(300) < 120
    found = paired_interval(errors, live, [str(i) for i in range(300)])
    worse = errors[1].astype(float) - errors[0]
    expected = bootstrap(
        (worse[live], worse[~live]), lambda a, b, axis: (a.mean(axis) + b.mean(axis)) / 2,
        method="percentile", rng=rng,
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    together = paired_interval(errors, live, [str(i // 30) for i in range(300)])
    assert together != found  # people are drawn, not faces


def test_too_little_or_one_class_is_refused_with_the_next_step():
    rng = np.random.default_rng(0)
    live, none = faces(True, rng), Faces(np.empty(0), np.empty((0, 1)), [], [])
    for given in ({}, {"print": none}):
        with pytest.raises(InputError, match="0 attack faces of 0 people.*at least 5 of 2.*despoof calibrate"):
            adapt(guard(), live, given)
    with pytest.raises(InputError, match="4 live faces of 1 people"):
        adapt(guard(), faces(True, rng, people=1), {"print": live})
    alone = replace(live, person=["person 0"] * 48)
    with pytest.raises(InputError, match="48 live faces of 1 people"):
        adapt(guard(), alone, {"print": live})


def with_kernel() -> SimpleNamespace:
    made = guard()
    made.engine.config.kernel = 1
    return made


@pytest.mark.parametrize(
    ("at", "expected"), [(4.0, (OTHERS_LIVE - 4) / 2), (1.2, (OTHERS_LIVE - 1.2) / 2), (-3.0, 1.0)]
)
def test_live_faces_alone_set_the_level_and_lift_it_by_one_at_most(at, expected, tmp_path):
    live = faces(True, np.random.default_rng(0))
    live = replace(live, liveness=expit(at + np.linspace(-0.5, 0.5, 48)))
    profile, lines = adapt_level(with_kernel(), live, name="door")
    assert profile.correction.constant == pytest.approx(expected)
    assert profile.photos.thresholds == profile.clips.thresholds == (0.3, 0.5)  # the weights' own
    assert ("more attacks pass" in lines[0]) is (expected > 0)
    assert ("the most that live recordings alone may" in lines[0]) is (expected == 1)
    write_profile(tmp_path / "p.json", profile)
    assert read_profile(tmp_path / "p.json") == profile
    judged = np.array([0.0, 0.2, 0.9, np.nan])
    found = profile.correction.corrected(judged, None)  # takes no embedding
    np.testing.assert_allclose(found[1:3], expit(logit(judged[1:3]) + expected))
    assert np.isnan(found[3])


def test_a_shifted_level_is_told_by_people_left_out():
    """Person 0 stands alone at the other end: by the others' median they are refused, by their own they would not."""
    live = replace(faces(True, np.random.default_rng(0)), liveness=expit(np.r_[np.full(4, 2.0), np.full(44, 7.0)]))
    profile, lines = adapt_level(with_kernel(), live)
    assert profile.correction.constant == pytest.approx((OTHERS_LIVE - 7) / 2)
    assert (profile.photos.bpcer.errors, profile.photos.bpcer.presented) == (4, 48)
    assert "0% of 48 live were refused as it is, 8% shifted" in lines[1]


def test_live_alone_asks_for_the_detector_that_was_measured_and_for_people():
    live = faces(True, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="of another, on which nothing was measured"):
        adapt_level(guard(), live)
    with pytest.raises(InputError, match="48 live faces of 1 people"):
        adapt_level(with_kernel(), replace(live, person=["person 0"] * 48))


def test_the_command_takes_live_recordings_alone(weights, recordings, tmp_path, capsys):
    out = tmp_path / "door.json"
    command = [str(each) for each in ("adapt", recordings / "live", "-o", out, "--weights", weights)]
    with pytest.raises(ConfigError, match="despoof calibrate"):  # no kernel
        build_app()(command, result_action="return_value")
    build_app()([*command[:4], "--name", "door"], result_action="return_value")  # the weights that ship
    said = capsys.readouterr().out
    assert "All logits are shifted by" in said
    guard, plain = despoof.load(profile=out), despoof.load()
    photo = recordings / "live/p0/0.png"
    one, other = guard.check(photo), plain.check(photo)
    shift = read_profile(out).correction.constant
    assert one.liveness == pytest.approx(expit(logit(other.liveness) + shift), abs=1e-5)
    assert one.thresholds == other.thresholds


def test_many_faces_stay_a_small_file(tmp_path):
    rng = np.random.default_rng(0)
    live, attack = (faces(each, rng, people=150, numbers=128) for each in (True, False))
    profile = adapt(guard(), live, {"print": attack}).profile
    assert len(profile.correction.points) == 200
    write_profile(tmp_path / "p.json", profile)
    assert (tmp_path / "p.json").stat().st_size < MAX_BYTES
    assert read_profile(tmp_path / "p.json") == profile


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 1.0}}
    folder = tmp_path_factory.mktemp("weights")
    save_detector(folder / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people of two photos live, and of prints of them, which are red."""
    from skimage.data import astronaut

    root = tmp_path_factory.mktemp("recordings")
    for i in range(6):
        for j in range(2):
            image = np.roll(astronaut(), 6 * i + 3 * j, 1)
            for kind, colour in (("live", (1, 1, 1)), ("prints", (1, 0.4, 0.4))):
                path = root / kind / f"p{i}" / f"{j}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray((image * colour).astype(np.uint8)).save(path)
    (root / "live/p0/broken.jpg").write_text("no picture")
    return root


@pytest.fixture(scope="module")
def profile(weights: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("profile") / "door.json"
    command = ["adapt", recordings / "live", "--attacks", f"print={recordings / 'prints'}", "-o", out, "--weights"]
    build_app()([str(token) for token in [*command, weights, "--name", "door"]], result_action="return_value")
    return out


def test_a_guard_with_a_correction_gives_what_the_formula_says(weights, recordings, profile):
    held = read_profile(profile)
    plain, corrected = despoof.load(weights), despoof.load(weights, profile=profile)
    photo, correction = recordings / "live/p0/0.png", held.correction
    before, after = plain.check(photo), corrected.check(photo)
    np.testing.assert_array_equal(before.embedding, after.embedding)
    near = [np.exp(-((before.embedding - np.array(p)) ** 2).sum() / correction.width) for p in correction.points]
    shift = correction.constant + np.dot(near, correction.weights)
    assert after.liveness == pytest.approx(expit(logit(before.liveness) + shift), abs=1e-4)
    assert abs(after.liveness - before.liveness) > 0.05
    assert after.thresholds == held.photos.thresholds
    assert "embedding" not in after.as_row()
    with pytest.raises(ConfigError, match="corrects liveness already"):
        look_at(corrected, recordings / "live", "live")


def test_a_broken_liveness_and_an_engine_without_embedding_open_no_door(weights, recordings, profile):
    guard = despoof.load(weights, profile=profile)
    judge = guard.engine.judge
    guard.engine.judge = lambda *given: judge(*given)._replace(liveness=np.array([np.nan]))
    assert guard.check(recordings / "live/p0/0.png").decision == "NO_DECISION"
    guard.engine.judge = lambda *given: judge(*given)._replace(embedding=None)
    with pytest.raises(ArtefactError, match="Export the weights again"):
        guard.check(recordings / "live/p0/0.png")


def test_the_command_tells_all_and_writes_nothing_where_nothing_is_mended(weights, recordings, tmp_path, capsys):
    out = tmp_path / "door.json"
    command = ["adapt", recordings / "live", "--attacks", f"same={recordings / 'live'}", "-o", out]
    with pytest.raises(SystemExit) as ended:
        build_app()([str(token) for token in [*command, "--weights", weights]], result_action="return_value")
    said = capsys.readouterr().out
    assert ended.value.code == 5
    assert not out.exists()
    assert "live: 12 faces of 6 people" in said
    assert "not judged: p0/broken.jpg" in said
    assert "Nothing is adopted" in said
    with pytest.raises(ConfigError, match="expected TYPE=FOLDER"):
        build_app()(["adapt", "live", "--attacks", "prints", "-o", str(out)], result_action="return_value")


def test_measure_and_serve_take_the_profile(weights, recordings, profile, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(recordings / "live", source / "live")
    shutil.copytree(recordings / "prints", source / "attack/print")
    guard = despoof.load(weights, profile=profile)
    measure(guard, read_source(source), tmp_path / "out")
    assert read_profile(profile).label in (tmp_path / "out/measure.md").read_text()
    pytest.importorskip("pydantic")
    from despoof.cli.serve import _loader
    from despoof.service.schemas import heading, image_result

    photo = recordings / "live/p1/0.png"
    served = _loader(str(weights), 1, profile=profile)()
    verdict = served.check(photo)
    assert verdict.liveness == guard.check(photo).liveness
    assert "embedding" not in image_result(verdict, explain=True, decimals=3).model_dump_json()
    uncorrected = Guard(served.engine, profile=replace(served.profile, correction=None))
    one, other = (heading(each, "default", "id").profile for each in (served, uncorrected))
    assert (one.name, other.name) == ("door", "door")
    assert one.version != other.version


def test_files_without_a_folder_count_as_people_and_are_said(weights, recordings, tmp_path):
    folder = tmp_path / "live"
    folder.mkdir()
    for i in range(5):
        shutil.copy(recordings / f"live/p{i}/0.png", folder / f"{i}.png")
    found = look_at(despoof.load(weights), folder, "live")
    assert (len(set(found.person)), found.unnamed) == (5, 5)
    rng = np.random.default_rng(0)
    told = adapt(guard(), replace(faces(True, rng), unnamed=3), {"print": faces(False, rng)}).lines
    assert any("3 files lie in no folder of a person" in line for line in told)


def test_frames_of_a_clip_are_faces_and_the_clip_one_presentation(weights, tmp_path):
    pytest.importorskip("av")
    from skimage.data import astronaut

    from miniatures import write_video

    for person in range(2):
        pictures = [np.roll(astronaut(), 2 * i + 5 * person, 1) for i in range(20)]
        write_video(tmp_path / f"live/{person}/a.mp4", pictures)
    found = look_at(despoof.load(weights), tmp_path / "live", "live")
    assert len(found.liveness) == 10
    assert sorted(set(found.file)) == ["0/a.mp4", "1/a.mp4"]
    assert len({tuple(each) for each in found.embedding}) > 2


def test_an_adapted_guard_is_refused_with_other_weights(weights, profile, tmp_path):
    torch.manual_seed(1)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 1.0}}
    save_detector(tmp_path / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    with pytest.raises(ArtefactError, match="'door' was measured with weights.detector"):
        Guard(despoof.load(tmp_path).engine, profile=read_profile(profile))
