"""A detector that looks around the face: guard, batch, graph and torch give it the same two pictures of the same place;
one that is shifted, swapped or scaled otherwise would move every verdict in silence."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import despoof
from despoof.detector.branches import BRANCHES
from despoof.detector.config import PROBE
from despoof.detector.network import Detector, beside, save_detector
from despoof.engine.by_onnx import RUNTIMES, installed
from despoof.engine.by_torch import TorchEngine, open_torch
from despoof.engine.export import TOLERANCE, export, parity, trial_inputs
from despoof.engine.graph import JudgeGraph
from despoof.errors import ArtefactError
from despoof.faces.align import align, as_tensor, scaled
from despoof.faces.detect import find_faces
from despoof.faces.scene import look
from despoof.generator.config import TINY as TINY_GENERATOR
from despoof.generator.registry import build_generator, save_generator

HERE = [name for name in RUNTIMES if installed(name)]
SMALL = replace(
    PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8), embedding=8, rectified=True,
    dropout=0.0, branches=tuple(BRANCHES),
)  # fmt: skip
JUDGE = Path(__file__).parents[2] / "examples/exported/judge.py"


def detector(**changes: object) -> Detector:
    torch.manual_seed(1)
    made = Detector(replace(SMALL, **changes), {"thresholds": {"attack_below": 0.4, "live_from": 0.6}})
    rng = torch.Generator().manual_seed(2)
    made.standardise.running_mean.normal_(generator=rng)
    made.facts |= {"temperature": 0.5}
    return made.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("around")
    save_detector(folder / "detector.safetensors", detector())
    return folder


@pytest.fixture(scope="module")
def exported(weights: Path) -> Path:
    pytest.importorskip("onnx", reason="needs the extra `export`")
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    out = weights / "out"
    assert set(export(open_torch(weights), out)) == set(HERE)
    return out


def by_hand(image: np.ndarray) -> float:
    """Liveness of an image whose face has room on all sides: boxes enlarged about their centre."""
    (found,) = find_faces(image)
    x, y, width, height = found.box
    views = []
    for scale in (2.7, 4.0):
        scale = min(scale, image.shape[1] / width, image.shape[0] / height)
        left = np.clip(x + width / 2 - scale * width / 2, 0, image.shape[1] - scale * width)
        top = np.clip(y + height / 2 - scale * height / 2, 0, image.shape[0] - scale * height)
        crop = image[int(top) : round(top + scale * height), int(left) : round(left + scale * width)]
        filter_ = cv2.INTER_AREA if min(crop.shape[:2]) >= 160 else cv2.INTER_LINEAR
        views.append(cv2.resize(crop, (160, 160), interpolation=filter_))
    around = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 127.5 - 1
    face = as_tensor(align(image, found.landmarks), 64)
    return float(detector().liveness(face, None, around))


def test_the_guard_gives_near_and_far_of_the_judged_face(weights: Path, portrait: np.ndarray, tmp_path: Path) -> None:
    guard = despoof.load(weights)
    images = [portrait, np.ascontiguousarray(portrait[:, ::-1]), portrait[:340, 60:400]]
    verdicts = guard.check_many(images)
    assert [verdict.liveness for verdict in verdicts] == pytest.approx([by_hand(image) for image in images], abs=1e-5)
    near, far = verdicts[0].surroundings
    for view, scale in ((near, 2.7), (far, 4.0)):
        (again,) = find_faces(view)
        assert again.box[2] / view.shape[1] == pytest.approx(1 / scale, rel=0.1)
    picture = Image.open(verdicts[0].save_explanation(tmp_path / "why.png"))
    assert picture.width == 3 * 256  # face, near, far
    alone = guard.check_faces(look(images[1]))
    assert alone[0].liveness == pytest.approx(verdicts[1].liveness, abs=1e-5)


def test_what_is_around_the_face_has_a_say_and_a_blank_border_none(weights: Path, portrait: np.ndarray) -> None:
    guard = despoof.load(weights)
    (found,) = find_faces(portrait)
    x, y, width, height = map(round, found.box)
    other = np.random.default_rng(0).integers(0, 256, portrait.shape).astype(np.uint8)
    near = np.s_[y - 20 : y + height + 20, x - 20 : x + width + 20]
    other[near] = portrait[near]
    plain, changed = guard.check_many([portrait, other])
    assert abs(plain.liveness - changed.liveness) > 1e-3
    bordered = cv2.copyMakeBorder(portrait, 60, 60, 200, 200, cv2.BORDER_CONSTANT)
    assert guard.check(bordered).liveness == pytest.approx(plain.liveness, abs=1e-6)


@pytest.mark.parametrize("runtime", HERE)
def test_a_verdict_is_the_same_as_by_torch(weights: Path, exported: Path, runtime: str, portrait: np.ndarray) -> None:
    images = [portrait, np.ascontiguousarray(portrait[:, ::-1]), portrait[:340, 60:400]]
    plain = despoof.load(weights)
    fast = despoof.load(exported, engine=runtime, threads=1)
    wanted, found = plain.check_many(images), fast.check_many(images)
    assert [one.liveness for one in found] == pytest.approx([one.liveness for one in wanted], abs=TOLERANCE)
    assert len({round(one.liveness, 4) for one in wanted}) == 3
    assert fast.check(images[0]).liveness == pytest.approx(found[0].liveness, abs=1e-5)


def test_the_description_and_the_example_know_the_surroundings(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    about = json.loads((exported / "despoof.json").read_text())
    assert (about["surroundings"], about["scales"], about["noise"]) == ([2, 160, 160, 3], [2.7, 4.0], None)
    assert about["points"] == {"balanced": {"attack_below": 0.4, "live_from": 0.6}}
    draw, files, pixels = np.random.default_rng(0), [], []
    for name, side in (("face", 64), ("near", 160), ("far", 160)):
        pixels.append(draw.integers(0, 256, (side, side, 3), np.uint8))
        files.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(pixels[-1]).save(files[-1])
    monkeypatch.setattr(sys, "argv", ["judge.py", str(exported), *files])
    runpy.run_path(str(JUDGE), run_name="__main__")
    face, *around = (torch.from_numpy(each).permute(2, 0, 1).float() / 127.5 - 1 for each in pixels)
    wanted = float(detector().liveness(face, None, torch.stack(around)))
    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(wanted, abs=TOLERANCE)


def test_a_graph_that_judges_by_nearness_is_tried_on_what_is_near(tmp_path: Path, portrait: np.ndarray) -> None:
    """Far from all centres every picture has one liveness, and a graph that differs would pass."""
    pytest.importorskip("onnx", reason="needs the extra `export`")
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    made = detector(kernel=6, rectified=False, unit_norm=False, branches=("near_minifasnet",))
    given = {name: scaled(torch.from_numpy(array)) for name, array in trial_inputs(JudgeGraph(made), 12).items()}
    with torch.no_grad():
        numbers = made.standard(made.statistics(given["face"], None, given["surroundings"]))
        made.nearness.scale *= 2 / (numbers - numbers.mean(0)).norm(dim=1).mean()
        made.nearness.middle.copy_((numbers * made.nearness.scale).mean(0))
        centred = made.nearness.centred(numbers)
        made.embed.weight.copy_(torch.linalg.svd(centred, full_matrices=False)[2][: made.config.embedding])
        made.embed.bias.zero_()
        made.nearness.centres.copy_(made.embed(centred[::2]))
        made.nearness.beside.copy_(beside(centred, made.embed(centred))[::2])
        made.classify.weight.copy_(torch.tensor([[4.0, -4.0, 3.0, -3.0, 2.0, -2.0]]))
    assert made.liveness(given["face"], None, given["surroundings"]).std() > 0.1
    save_detector(tmp_path / "detector.safetensors", made)
    guard = despoof.load(tmp_path)
    export(guard.engine, tmp_path / "out")
    fast = despoof.load(tmp_path / "out")
    assert fast.check(portrait).liveness == pytest.approx(guard.check(portrait).liveness, abs=TOLERANCE)
    with torch.no_grad():
        made.nearness.centres += 0.3
    with pytest.raises(ArtefactError, match="differs from torch"):
        parity(TorchEngine(made), tmp_path / "out")


@pytest.mark.parametrize("insertion", ["dual", "features"])
def test_a_graph_holds_cue_and_surroundings_together(tmp_path: Path, insertion: str, portrait: np.ndarray) -> None:
    pytest.importorskip("onnx", reason="needs the extra `export`")
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    torch.manual_seed(0)
    generator = build_generator(replace(TINY_GENERATOR, kind="one_step"))
    save_generator(tmp_path / "generator.safetensors", generator)
    made = detector(insertion=insertion, branches=("near_minifasnet",), cue_form="signed")
    save_detector(tmp_path / "detector.safetensors", made, facts={"parents": {"generator": generator.name}})
    guard, out = despoof.load(tmp_path), tmp_path / "out"
    export(guard.engine, out)
    fast = despoof.load(out)
    assert fast.engine.description["noise"] == [4, 8, 8]
    assert fast.check(portrait).liveness == pytest.approx(guard.check(portrait).liveness, abs=TOLERANCE)
