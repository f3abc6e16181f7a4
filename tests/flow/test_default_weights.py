"""What ships: weights that load, fit their size, carry their cards and operating points, and run the examples; a
package built without its weights would pass every other test."""

import runpy
from pathlib import Path

import pytest
import torch

import despoof
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
    assert sum(path.stat().st_size for path in files) <= 40e6


@pytest.mark.parametrize("name", ["generator-default", "detector-default", "departure-default"])
def test_every_file_has_a_card_that_names_its_licence(name: str) -> None:
    card = (WEIGHTS / f"{name}.md").read_text(encoding="utf-8").lower()
    assert "research use only" in card
    assert "known failures" in card


def test_facts_hold_thresholds_and_counts(guard: despoof.Guard) -> None:
    low, high = guard.thresholds
    assert 0 <= low <= high <= 1
    assert guard.engine.detector.facts["validation"]["live"] > 100
    assert guard.engine.detector.facts["validation"]["attack"] > 100
    assert guard.engine.detector.temperature > 0
    assert guard.engine.detector.facts["licence"] == "research use only"
    assert guard.engine.detector.facts["parents"] == {"generator": guard.engine.generator.name, "start_step": "501"}


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
