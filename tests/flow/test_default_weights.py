"""What ships: weights that load, fit their size, carry their cards and operating points, and run the examples; a
package built without its weights would pass every other test."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import despoof
from despoof import pair
from despoof.data.portrait import portrait
from despoof.errors import ArtefactError
from despoof.pair import WEIGHTS
from despoof.verdict import Decision

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def guard() -> despoof.Guard:
    return despoof.load(engine="torch")


def test_weights_are_together_at_most_forty_megabytes() -> None:
    files = sorted(WEIGHTS.glob("*.safetensors"))
    assert {path.name for path in files} == {
        f"{name}-default.safetensors" for name in ("generator", "detector", "departure")
    }
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= 40e6  # graphs too


@pytest.mark.parametrize("name", ["generator-default", "detector-default", "departure-default"])
def test_every_file_has_a_card_that_names_its_licence(name: str) -> None:
    card = (WEIGHTS / f"{name}.md").read_text(encoding="utf-8").lower()
    assert "research use only" in card
    assert "known failures" in card


def test_the_export_is_of_the_weights_beside_it_and_small(guard: despoof.Guard) -> None:
    light = despoof.load()
    assert (light.engine_name, light.engine.precision) == ("onnx", "float32")
    assert light.weights == guard.weights
    assert light.engine.facts == guard.engine.facts
    assert light.engine.configs() == guard.engine.configs()
    assert sum((WEIGHTS / name).stat().st_size for name in ("judge.onnx", "explain.onnx")) <= 25e6


def test_a_package_without_its_weights_says_to_install_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair, "WEIGHTS", tmp_path)
    for engine in ("auto", "onnx", "torch"):
        with pytest.raises(ArtefactError, match="holds no weights in .* pip install --force-reinstall"):
            despoof.load(engine=engine)


def test_pictures_are_those_of_torch_but_for_a_grey_level(guard: despoof.Guard) -> None:
    wanted, found = (each.with_counterpart(each.check(portrait())) for each in (guard, despoof.load()))
    assert found.liveness == pytest.approx(wanted.liveness, abs=1e-3)
    assert np.array_equal(found.face, wanted.face)
    difference = 127.5 * np.abs(found.counterpart - wanted.counterpart)
    assert difference.mean() < 1
    assert difference.max() < 6
    np.testing.assert_allclose(found.cue, wanted.cue, atol=6 / 127.5)
    assert (found.map is None) == (wanted.map is None)
    if wanted.map is not None:
        np.testing.assert_allclose(found.map, wanted.map, atol=0.1)
    assert 127.5 * np.abs(wanted.counterpart - wanted.face).mean() > 2  # else the comparison would tell nothing


def test_facts_hold_thresholds_and_counts(guard: despoof.Guard) -> None:
    low, high = guard.thresholds
    assert 0 <= low <= high <= 1
    assert guard.engine.detector.facts["validation"]["live"] > 100
    assert guard.engine.detector.facts["validation"]["attack"] > 100
    assert guard.engine.detector.temperature > 0
    assert guard.engine.detector.facts["licence"] == "research use only"
    assert guard.engine.detector.facts["parents"] == {"generator": guard.engine.generator.name, "start_step": "351"}


def test_the_portrait_is_judged_and_its_counterpart_is_the_same_person_roughly(guard: despoof.Guard) -> None:
    from skimage.data import astronaut

    verdict = guard.with_counterpart(guard.check(astronaut()))
    assert verdict.decision is not Decision.NO_DECISION
    embed = guard.engine.generator.identity
    with torch.inference_mode():
        faces = map(torch.from_numpy, (verdict.face, verdict.counterpart, verdict.face[:, ::-1].copy()))
        own, made, stranger = (embed(face[None]).embedding for face in faces)  # upside down: no face of hers
    assert float((own * made).sum()) > 0.4
    assert float((own * made).sum()) > float((own * stranger).sum())


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")


def test_readme_tree_names_every_stage() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    folder = ROOT / "src/despoof"
    stages = [path.name + "/" for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert [name for name in stages if f"  {name}" not in text] == []
