"""The recipe end to end through the command line on a few drawn faces: every command reads what the one before it
wrote; a changed file format or option name in one of them would break the way unnoticed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from despoof.cli.app import build_app
from despoof.errors import InputError
from despoof.evaluation.scores import read_scores
from despoof.faces.counterparts import read_counterparts
from despoof.faces.store import Store

STEPS = ["--training.steps", "2", "--preset", "tiny", "--threads", "1"]


def command(*tokens: object) -> object:
    return build_app()([str(token) for token in tokens], result_action="return_value")


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve subjects in each of three domains, live and attack, made from one public-domain portrait."""
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp("captures")
    portrait = astronaut()[:300, 80:380].astype(np.float32)
    lines = ["path,label,attack_type,subject,domain"]
    for number in range(72):
        domain, subject, attack = "abc"[number % 3], number // 6, number % 2
        rng = np.random.default_rng(number)
        image = portrait * rng.uniform(0.8, 1.1, 3) * (0.8 if attack else 1) + rng.normal(0, 2, portrait.shape)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        label = "attack,print" if attack else "live,none"
        lines.append(f"{number}.png,{label},s{subject},{domain}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


class StubTeacher:
    """Stands for the ONNX teacher: an embedding that depends on colour."""

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        means = crops.reshape(len(crops), -1, 3).mean(1) - 127
        found = np.concatenate([means, np.ones((len(crops), 5))], 1).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_the_whole_recipe(
    captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import despoof.generator.training.identity as train_identity
    from despoof.pipeline import load
    from despoof.verdict import Decision

    monkeypatch.setattr(train_identity, "teacher_encoder", lambda path: StubTeacher())
    store, runs = tmp_path / "store", tmp_path / "runs"
    command("prepare", captures / "labels.csv", store, "--workers", 1)
    assert (store / "samples.jsonl").read_text().count('"outcome": "face"') == 72
    command("train", "autoencoder", store, runs / "ae", *STEPS)
    (tmp_path / "teacher.onnx").write_bytes(b"stands for the teacher")
    command("train", "identity", store, runs / "id", tmp_path / "teacher.onnx", *STEPS)
    parts = (runs / "ae/autoencoder.safetensors", runs / "id/identity.safetensors")
    command("train", "generator", store, runs / "dfg", *parts, *STEPS)
    generator = runs / "dfg/generator.safetensors"
    capsys.readouterr()
    command("reconstruct", store, generator, "--threads", 1)
    counterparts = Path(capsys.readouterr().out.strip())
    assert len(read_counterparts(counterparts, Store(store).with_face(), 64)) == 72
    command("study", "cue", tmp_path / "cue.md", store, generator, "--threads", 1)
    assert "cue magnitude" in capsys.readouterr().out
    command("train", "detector", store, counterparts, runs / "detector", *STEPS)
    command("weights", "pack", generator, runs / "detector/detector.safetensors", tmp_path / "shipped")
    verdict = load(tmp_path / "shipped").check(captures / "0.png")
    assert verdict.decision in set(Decision) - {Decision.NO_DECISION}
    assert verdict.save_explanation(tmp_path / "why.png").stat().st_size > 1000


def test_evaluate_writes_scores_and_tables(captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    store = tmp_path / "store"
    command("prepare", captures / "labels.csv", store, "--workers", 1)
    capsys.readouterr()
    command("evaluate", store, tmp_path / "out", "--models", "saturation", "--models", "statistics")
    first = capsys.readouterr().out
    assert "to-a" in first
    assert len(list((tmp_path / "out/scores").rglob("*-test.csv"))) == 6
    command("evaluate", store, tmp_path / "out", "--models", "saturation", "--models", "statistics")
    assert capsys.readouterr().out == first
    tiny = ("--models", "none", "--preset", "tiny", "--training.steps", 2, "--seeds", 0, "--cells", "to-a")
    command("evaluate", store, tmp_path / "out", *tiny)
    (path,) = (tmp_path / "out/scores/leave-one-domain-out/none-tiny-steps=2").glob("*-test.csv")
    identity = read_scores(path).facts["identity"]
    assert (identity["config"]["recipe"]["training"]["steps"], bool(identity["data"])) == (2, True)
    with pytest.raises(InputError, match="'nnoe'"):
        command("evaluate", store, tmp_path / "other", *tiny, "--models", "nnoe")
    assert not (tmp_path / "other").exists()


def test_evaluate_by_several_processes_writes_what_one_does(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = tmp_path / "store"
    command("prepare", captures / "labels.csv", store, "--workers", 1)
    tiny = ("--models", "none", "--models", "statistics", "--preset", "tiny", "--training.steps", 2, "--seeds", 0)
    printed, files = [], []
    for out, more in ((tmp_path / "one", ()), (tmp_path / "two", ("--processes", 2))):
        capsys.readouterr()
        command("evaluate", store, out, *tiny, *more)
        printed.append(capsys.readouterr().out)
        files.append({path.relative_to(out): path.read_text() for path in out.rglob("*.csv")})
    assert printed[0] == printed[1]
    assert files[0] == files[1]
    assert len(files[0]) == 12
    with pytest.raises(InputError, match="'nnoe'"):
        command("evaluate", store, tmp_path / "other", *tiny, "--models", "nnoe", "--processes", 2)
    assert not (tmp_path / "other").exists()


def test_evaluate_over_cameras_prints_tables_once_all_folds_are_there(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = tmp_path / "store"
    command("prepare", captures / "labels.csv", store, "--workers", 1)
    (tmp_path / "own.toml").write_text(
        'format = "despoof-protocols/1"\n[own]\neach = "fold"\nfolds = 3\ndomains = ["*"]\nvalidation = 0\n'
        'threshold = "cross-fitted"\n'
    )
    run = ("evaluate", store, tmp_path / "out", "--protocol", tmp_path / "own.toml", "--models", "statistics")
    capsys.readouterr()
    command(*run, "--cells", "fold-0")
    first = capsys.readouterr().out
    assert "expected all folds" in first
    assert "worst AUC" not in first
    command(*run)
    whole = capsys.readouterr().out
    assert "worst AUC" in whole
    assert "luma, darkest third" in whole
    assert "expected all folds" not in whole
    files = list((tmp_path / "out/scores").rglob("*.csv"))
    assert sorted(path.name for path in files) == [f"fold-{i}-seed0-test.csv" for i in range(3)]
