"""Every study through the command line on drawn faces: options and stores must reach it, and its table the file."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from despoof.cli.app import build_app
from despoof.data.sample import Label, Sample, Split
from despoof.detector.config import TINY as TINY_DETECTOR
from despoof.detector.network import Detector, save_detector
from despoof.faces.store import Store, StoredSample
from despoof.generator.config import TINY
from despoof.generator.registry import build_generator, save_generator

MARKS = [[90.0, 80.0], [160.0, 80.0], [128.0, 130.0], [100.0, 180.0], [150.0, 180.0]]


class StubTeacher:
    """Stands for the ONNX teacher: an embedding that depends on colour."""

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        found = crops.reshape(len(crops), -1, 3).mean(1) - 127.3
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captures of two domains, held-out faces, and weights that were never trained."""
    folder = tmp_path_factory.mktemp("studies")
    captures, faces = (Store(folder / name, about={"face_size": 256}) for name in ("captures", "faces"))
    rng = np.random.default_rng(0)
    for i in range(16):
        image = rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)
        label, species = (Label.LIVE, "none") if i % 2 else (Label.ATTACK, "print")
        sample = Sample(f"{i}.png", label, species, f"s{i}", "ab"[i // 8])
        captures.add(StoredSample(sample, "face", quality={"eye_distance": 50.0}), image)
        real = Sample(f"{i}.png", Label.LIVE, subject=f"s{i}", split=Split.TEST)
        faces.add(StoredSample(real, "face", landmarks=MARKS), image)
    torch.manual_seed(0)
    generator = build_generator(TINY)
    save_generator(folder / "generator.safetensors", generator)
    facts = {"thresholds": {"attack_below": 0.4, "live_from": 0.6}}
    facts["parents"] = {"generator": generator.name, "start_step": str(generator.start_of(None))}
    save_detector(folder / "detector.safetensors", Detector(TINY_DETECTOR, facts))
    (folder / "teacher.onnx").write_text("teacher")
    return folder


@pytest.mark.parametrize(
    ("name", "given", "rows"),
    [
        ("reliance", ("captures", "--weights", ".", "--per-group", 2), 6),
        ("cue", ("captures", "generator.safetensors"), 10),
        ("forms", ("captures", "generator.safetensors", "--per-group", 2), 3),
        ("robustness", ("captures", "generator.safetensors", "--per-group", 2), 12),
        ("fidelity", ("faces", "generator.safetensors", "teacher.onnx", "--reader", ".", "--count", 8), 6 + 2 + 3),
        ("hard-faces", ("faces", "teacher.onnx", "--weights", ".", "--count", 10), 9),
        ("generators", ("faces", "captures", "teacher.onnx", "--row", "a=generator.safetensors", "--per-group", 2), 1),
    ],
)
def test_a_study_writes_the_table_that_it_prints(
    name: str, given: tuple, rows: int, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import despoof.generator.training.identity as training
    import despoof.studies.generators as generators

    monkeypatch.chdir(folder)
    for module in (training, generators):
        monkeypatch.setattr(module, "teacher_encoder", lambda path: StubTeacher())
    if name == "generators":
        pytest.importorskip("matplotlib", reason="its picture needs the extra `report`")
    out = folder / ("out.json" if name == "generators" else f"{name}.md")
    tokens = ["study", name, out, *given, "--threads", 1]
    build_app()([str(token) for token in tokens], result_action="return_value")
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    assert sum(line.startswith("|") for line in text.splitlines()) == rows + 2


def test_stability_judges_pictures_of_a_folder_and_of_a_table(
    folder: Path, people: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("matplotlib", reason="its pictures need the extra `report`")
    (tmp_path / "table.csv").write_text("path,label,domain\na.png,live,c\nb.png,attack,c\n")
    for name, image in zip(("a.png", "b.png", "live/c.png", "attack/print/d.png"), people, strict=False):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
    only = [token for word in ("colour", "turn mirrored") for token in ("--only", word)]
    tokens = ["study", "stability", tmp_path / "out", tmp_path, tmp_path / "table.csv", "--weights", folder, *only]
    build_app()([str(token) for token in (*tokens, "--threads", 1)], result_action="return_value")
    shown = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert shown[2:] == [
        *(f"colour warm {share} %" for share in ("-25", "-10", "+10", "+25")),
        "colour grey",
        "turn mirrored",
    ]
    assert "4 captures of 2 domains, 2 live" in (tmp_path / "out/report.md").read_text()
    assert len((tmp_path / "out/verdicts.jsonl").read_text().splitlines()) == 1 + 4 * 7
