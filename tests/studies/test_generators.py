"""Studies: rows are kept, measured alike, and figures are those of a hand-made case; a row measured on other faces than
its neighbour would compare nothing."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from despoof.data.sample import Label, Sample, Split
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.faces.store import Store, StoredSample
from despoof.studies import generators as studies
from despoof.studies.generators import HeldOut, NamedGenerator, picture, study, table

FIGURES = {
    "t": "1", "cosine": "0.5", "cosine low": "0.4", "cosine high": "0.7", "residual": "0.1", "residual low": "0.1",
    "residual high": "0.1", "statistics a": "0.6", "statistics a low": "0.5", "statistics a high": "0.65",
}  # fmt: skip


@pytest.fixture
def held_out(tmp_path: Path) -> HeldOut:
    store = Store(tmp_path / "store", about={"version": 1})
    for i in range(4):
        sample = Sample(f"{i}.png", Label.LIVE, domain="a", split=Split.TEST)
        store.add(StoredSample(sample, "face"), np.zeros((256, 256, 3), np.uint8))
    (tmp_path / "teacher.onnx").write_text("teacher")
    (tmp_path / "x").write_text("generator")
    return HeldOut(store, store, tmp_path / "teacher.onnx")


def test_rows_are_read_from_text() -> None:
    assert NamedGenerator.parse("a=b.safetensors") == NamedGenerator("a", Path("b.safetensors"), None)
    assert NamedGenerator.parse("a=b@c.safetensors@401") == NamedGenerator("a", Path("b@c.safetensors"), 401)
    for wrong in ("a", "=b", "a=", "a=b@x", "a=b@"):
        with pytest.raises(InputError, match="NAME=FILE"):
            NamedGenerator.parse(wrong)


def test_a_killed_study_goes_on_and_measures_nothing_twice(
    tmp_path: Path, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def measured(generator: NamedGenerator, held_out: HeldOut) -> dict[str, str]:
        if generator.name == "c" and "c" not in seen:
            seen.append("c")
            raise KeyboardInterrupt
        seen.append(generator.name)
        return dict(FIGURES)

    monkeypatch.setattr(studies, "measure", measured)
    generators = [NamedGenerator(name, tmp_path / "x") for name in "abcd"]
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        study(generators, held_out, out)
    assert [row["name"] for row in csv.DictReader(out.open())] == ["a", "b"]
    rows = study(generators, held_out, out)
    assert seen == ["a", "b", "c", "c", "d"]
    assert [row["name"] for row in rows] == list("abcd")
    with pytest.raises(InputError, match="different names"):
        study(generators + generators[:1], held_out, out)


@pytest.mark.parametrize("change", ["weights", "teacher", "step", "faces"])
def test_a_row_that_was_measured_on_something_else_is_refused(
    change: str, tmp_path: Path, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "measure", lambda generator, held_out: dict(FIGURES))
    generator = NamedGenerator("a", tmp_path / "x")
    study([generator], held_out, tmp_path / "out.csv")
    if change in ("weights", "teacher"):
        (tmp_path / {"weights": "x", "teacher": "teacher.onnx"}[change]).write_text("another")
    other = replace(generator, start_step=401) if change == "step" else generator
    again = replace(held_out, count=2) if change == "faces" else held_out
    with pytest.raises(ArtefactError, match="other weights, faces or captures"):
        study([other], again, tmp_path / "out.csv")


def test_table_and_picture(tmp_path: Path) -> None:
    rows = [{"name": name, "run": "1234"} | FIGURES for name in ("first", "second")]
    cells = [cell.strip() for cell in table(rows).splitlines()[2].strip("|").split("|")]
    assert cells == ["first", "1", "0.5 (0.4–0.7)", "0.1 (0.1–0.1)", "0.6 (0.5–0.65)"]
    pytest.importorskip("matplotlib", reason="needs the extra `report`")
    picture(rows, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    found = studies._mean("x", np.array([1.0, 2.0, 3.0, 4.0]))
    half = 1.96 * np.sqrt(5 / 3) / 2  # variance 5/3 over n - 1
    assert found["x"] == "2.5000"
    assert float(found["x low"]) == pytest.approx(2.5 - half, abs=1e-4)
    assert float(found["x high"]) == pytest.approx(2.5 + half, abs=1e-4)


def test_a_step_that_a_kind_lacks_is_refused(tmp_path: Path, held_out: HeldOut) -> None:
    from despoof.generator.config import TINY
    from despoof.generator.registry import build_generator, save_generator

    save_generator(tmp_path / "g.safetensors", build_generator(replace(TINY, kind="one_step")))
    with pytest.raises(ConfigError, match="distilled at"):
        studies.measure(NamedGenerator("x", tmp_path / "g.safetensors", 101), held_out)
