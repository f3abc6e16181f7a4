"""What carries: a planted signal is found where it was planted and nowhere else, and the judge is scikit-learn's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from despoof.cli.app import build_app
from despoof.cue import cue
from despoof.data.sample import Label, Sample
from despoof.detector.config import PROBE
from despoof.detector.network import Detector, save_detector
from despoof.errors import InputError
from despoof.evaluation.cameras import AUC, HTER, on_cameras
from despoof.faces.align import as_tensor
from despoof.faces.store import Store, StoredSample
from despoof.generator.config import TINY
from despoof.generator.registry import build_generator, load_generator, save_generator
from despoof.studies.carriers.judging import GIVEN, JUDGE, Block, Model, judge, lessons
from despoof.studies.carriers.making import ways, ways_of_others
from despoof.studies.carriers.reading import Sight, operations, read_all
from despoof.studies.carriers.study import Form, captures
from despoof.studies.tables import Estimate

CONFIG = replace(
    PROBE, backbone="tiny_cnn", face_size=64, statistics=(2, 4, 8), insertion="features", cue_form="signed"
)


def rows_of(cameras: int, each: int) -> list[StoredSample]:
    rows = []
    for camera in range(cameras):
        for i in range(2 * each):
            label, species = (Label.LIVE, "none") if i % 2 else (Label.ATTACK, "print")
            rows.append(StoredSample(Sample(f"{camera}-{i}.png", label, species, f"s{i}", f"c{camera}"), "face"))
    return rows


def aucs(rows: list[StoredSample], blocks: dict[str, np.ndarray], models: list[Model]) -> dict[str, float]:
    judged, _ = judge(rows, {name: Block(each) for name, each in blocks.items()}, models, seeds=2)
    return {name: float(on_cameras(each, rounds=0).figures[AUC].values.mean()) for name, each in judged.items()}


def live_of(rows: list[StoredSample]) -> np.ndarray:
    return np.array([row.sample.label is Label.LIVE for row in rows])


@pytest.mark.parametrize("planted", [True, False])
def test_a_signal_is_found_in_the_cue_where_it_was_planted_and_labels_of_chance_give_chance(planted):
    rows, rng = rows_of(9, 8), np.random.default_rng(0)
    live = live_of(rows) if planted else rng.permutation(live_of(rows))
    face = rng.standard_normal((len(rows), 30))
    blocks = {"face": face, "cue": rng.standard_normal((len(rows), 20)) + live[:, None]}
    models = [Model("face", ("face",)), Model("cue", ("cue",), "cue"), Model("both", ("face", "cue"), "cue")]
    found = aucs(rows, blocks, models)
    assert 0.35 < found["face"] < 0.65
    for name in ("cue", "both"):
        assert found[name] > 0.95 if planted else 0.35 < found[name] < 0.65


def test_the_judge_is_scikit_learns_on_the_captures_of_other_cameras():
    rows, rng = rows_of(8, 6), np.random.default_rng(1)
    live = live_of(rows)
    numbers = (rng.standard_normal((len(rows), 12)) + 0.7 * live[:, None]) * np.arange(1, 13) + 5
    block = Block(numbers, ((slice(0, 4), 2.0), (slice(4, 12), 0.5)))
    judged, _ = judge(rows, {"a": block}, [Model("a", ("a",))], seeds=1)
    answers = {row.key: value for row, value in zip(judged["a"].rows, judged["a"].liveness[0], strict=True)}
    seen = []
    for lesson in lessons(rows, 1):
        assert not {rows[i].sample.domain for i in lesson.learned} & {rows[i].sample.domain for i in lesson.tested}
        learned = numbers[lesson.learned]
        mean = np.average(learned, 0, lesson.share)
        deviation = np.sqrt(np.average((learned - mean) ** 2, 0, lesson.share) + 1e-5)
        scaled = ((numbers - mean) / deviation).clip(-6, 6) * np.sqrt(np.repeat([2 / 4, 0.5 / 8], [4, 8]) / 2.5)
        target, weight = np.where(live[lesson.learned], 1.0, -1.0), lesson.share
        other = KernelRidge(alpha=JUDGE.ridge / len(target), kernel="rbf", gamma=JUDGE.width)
        other.fit(scaled[lesson.learned], target - weight @ target, sample_weight=weight)
        expected = other.predict(scaled[lesson.tested]) + weight @ target
        np.testing.assert_allclose([answers[rows[i].key] for i in lesson.tested], expected, atol=1e-4)
        seen += list(lesson.tested)
    assert sorted(seen) == list(range(len(rows)))  # each capture is judged once


def test_what_leans_on_the_cue_changes_with_it_and_what_leans_on_the_face_does_not():
    rows, rng = rows_of(9, 6), np.random.default_rng(2)
    live = live_of(rows)
    signal, noise = 3.0 * live[:, None] + rng.standard_normal((len(rows), 10)), rng.standard_normal((len(rows), 10))
    blocks = {"signal": Block(signal), "noise": Block(noise, ((slice(0, 10), 0.05),))}
    models = [Model("by cue", ("noise", "signal"), "signal"), Model("by face", ("signal", "noise"), "noise")]
    judged, answers = judge(rows, blocks, models, seeds=1)

    def changed(name: str, given: str) -> float:
        return float(((answers[name][given] >= 0) != (judged[name].liveness[0] >= 0)).mean())

    assert changed("by cue", "opposite") > 0.9
    assert changed("by cue", "same") < 0.1
    assert max(changed("by face", given) for given in GIVEN) < 0.1


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return build_generator(TINY).eval()


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def test_ways_are_the_generators_own(generator, faces):
    made = {name: make(faces, lambda stage: None) for name, make in ways(generator, (101, 501)).items()}
    start = generator.start_of(None)
    whole = generator.counterpart(faces)
    torch.testing.assert_close(made[f"t {start}, many calls"].counterpart, whole)
    copied = generator.autoencoder.decode(generator.autoencoder.encode(faces)).clamp(-1, 1)
    torch.testing.assert_close(made["autoencoder"].counterpart, copied)
    student = build_generator(replace(TINY, kind="one_step")).eval()
    student.load_state_dict(generator.state_dict())
    torch.testing.assert_close(made[f"t {start}"].counterpart, student.counterpart(faces))
    torch.testing.assert_close(made[f"t {start}, second draw"].counterpart, student.counterpart(faces, salt=1))
    pair = replace(TINY, kind="one_step", diffusion=replace(TINY.diffusion, noise="pair"))
    paired = build_generator(pair).eval()
    paired.load_state_dict(generator.state_dict())
    own = ways(paired, ())[f"t {start}"](faces, lambda stage: None)
    torch.testing.assert_close(own.counterpart, paired.counterpart(faces))
    assert not torch.equal(made["t 101"].latents, made[f"t {start}"].latents)
    alone = ways(generator, ())[f"t {start}, one noise for all"](faces[1:], lambda stage: None)
    torch.testing.assert_close(alone.latents, made[f"t {start}, one noise for all"].latents[1:])
    with pytest.raises(InputError, match="latent diffusion"):
        ways(build_generator(replace(TINY, kind="autoencoder")), ())


@pytest.fixture
def folder(tmp_path: Path, generator) -> Path:
    """Captures of eight cameras, and weights that were never trained."""
    store, rng = Store(tmp_path / "captures", about={"face_size": 256}), np.random.default_rng(0)
    for row in rows_of(8, 2):
        store.add(row, rng.integers(0, 256, (256, 256, 3)).astype(np.uint8))
    save_generator(tmp_path / "generator.safetensors", generator)
    torch.manual_seed(0)
    save_detector(tmp_path / "detector.safetensors", Detector(CONFIG))
    return tmp_path


def test_numbers_are_the_detectors_and_are_read_once(folder, generator):
    detector = Detector(CONFIG).eval()
    sight, store = Sight(detector, generator), Store(folder / "captures")
    rows, makes = captures(store, 1), ways(generator, ())
    own = next(iter(makes))
    read = read_all(sight, store, rows, {name: (make, name == own) for name, make in makes.items()}, folder / "out")
    face = as_tensor(store.faces(rows, 64), 64)
    with torch.no_grad():
        made = makes[own](face, lambda stage: None)
        numbers = detector.block("cue", face, cue(face, made.counterpart, "signed"), None)
    np.testing.assert_allclose(read[f"{own}: features, tiny_cnn"], numbers.numpy(), atol=1e-4)
    np.testing.assert_allclose(read["face: tiny_cnn"], detector.block("face", face, None, None).detach(), atol=1e-4)
    assert read[f"{own}: latents, map"].shape == (len(rows), made.latents[0].numel())
    assert operations(sight, makes[own])["latents"] > operations(sight, makes["autoencoder"])["latents"] > 0

    def unneeded(face, lap):
        raise AssertionError("read again")

    kept = {name: (unneeded, name == own) for name in makes}
    again = read_all(sight, store, rows, kept, folder / "out")
    for name, each in read.items():
        np.testing.assert_array_equal(again[name], each)


def test_better_is_beyond_the_interval():
    def form(hter: tuple, auc: tuple) -> Form:
        return Form("", "", 1, 1.0, 1.0, minus={"face": {HTER: Estimate(*hter), AUC: Estimate(*auc)}})

    assert form((-2, -3, -1), (0, -1, 1)).better("face")
    assert form((0, -1, 1), (2, 1, 3)).better("face")
    assert not form((-2, -3, 0.1), (1, -0.1, 3)).better("face")
    assert not form((2, 1, 3), (-2, -3, -1)).better("face")


def test_the_command_writes_table_and_picture(folder, capsys):
    pytest.importorskip("matplotlib", reason="its picture needs the extra `report`")
    files = [folder / name for name in ("out", "captures", "generator.safetensors", "detector.safetensors")]
    tokens = ["study", "carriers", *files, "--step", 101, "--step", 501, "--per-group", 2, "--seeds", 1]
    build_app()([str(token) for token in tokens], result_action="return_value")
    text = (folder / "out/report.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    assert text.startswith("Beside what ships, ")
    assert "32 captures of 8 cameras" in text
    assert text.count("| t 101 ") == 1
    assert text.count("| mean over t ") == 1
    assert all(each in text for each in GIVEN.values())
    assert (folder / "out/report.png").stat().st_size > 10_000


def test_other_generators_are_measured_beside_the_first_in_its_features(folder, generator, capsys):
    """The same weights differ from themselves by nothing; others are named with what they are."""
    pytest.importorskip("matplotlib", reason="its picture needs the extra `report`")
    torch.manual_seed(1)
    save_generator(folder / "other.safetensors", build_generator(TINY))
    other = load_generator(folder / "other.safetensors").name
    files = [folder / name for name in ("out", "captures", "generator.safetensors", "detector.safetensors")]
    again, file = folder / "generator.safetensors", folder / "other.safetensors"
    tokens = ["study", "carriers", *files, "--features", "--per-group", 2, "--seeds", 1, "--other", f"same={again}",
              "--other", f"far={file}@101"]  # fmt: skip
    build_app()([str(token) for token in tokens], result_action="return_value")
    text = capsys.readouterr().out
    start = generator.start_of(None)
    same, far = f"same ({generator.name}, t {start})", f"far ({other}, t 101)"
    whole, _, less = text.partition(f"Less the same cue by t {start}")

    def rows(part: str) -> dict[str, str]:
        cells = [line.split("|") for line in part.splitlines() if "| features, tiny_cnn" in line]
        return {line[1].strip(): "|".join(line[3:]) for line in cells}

    assert list(rows(whole)) == [f"t {start}", "autoencoder", "blurred face", same, far]
    assert "Correlation" not in text
    assert list(rows(less)) == [same, far]
    assert rows(less)[same].count("+0.0 (+0.0 to +0.0)") == 6
    assert rows(less)[far].count("+0.0 (+0.0 to +0.0)") < 6


def test_others_that_cannot_be_compared_are_refused(generator):
    with pytest.raises(InputError, match="latent diffusion"):
        ways_of_others([("copy", build_generator(replace(TINY, kind="autoencoder")), None)], 64)
    with pytest.raises(InputError, match="expected one size"):
        ways_of_others([("small", generator, None)], 128)
