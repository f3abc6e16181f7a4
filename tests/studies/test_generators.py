"""Studies: rows are kept, measured alike, and figures are those of a hand-made case; a row measured on other faces than
its neighbour would compare nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from despoof.data.sample import Label, Sample, Split
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.faces.store import Store, StoredSample
from despoof.studies import generators as studies
from despoof.studies.generators import HeldOut, NamedGenerator, Row, picture, study
from despoof.studies.tables import Estimate, table

ONE, TWO = Estimate(0.5, 0.4, 0.7), Estimate(0.1, 0.1, 0.1)
FIGURES = Row("x", 1, 300, ONE, TWO, 12, {"a": Estimate(0.6, 0.5, 0.65)}, {"a": TWO})


@pytest.fixture
def held_out(tmp_path: Path) -> HeldOut:
    store = Store(tmp_path / "store", about={"face_size": 256})
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

    def measured(generator: NamedGenerator, held_out: HeldOut) -> Row:
        if generator.name == "c" and "c" not in seen:
            seen.append("c")
            raise KeyboardInterrupt
        seen.append(generator.name)
        return replace(FIGURES, generator=generator.name)

    monkeypatch.setattr(studies, "measure", measured)
    generators = [NamedGenerator(name, tmp_path / "x") for name in "abcd"]
    out = tmp_path / "out.json"
    with pytest.raises(KeyboardInterrupt):
        study(generators, held_out, out)
    assert list(json.loads(out.read_text())) == ["a", "b"]
    rows = study(generators, held_out, out)
    assert seen == ["a", "b", "c", "c", "d"]
    assert [row.generator for row in rows] == list("abcd")
    assert rows[0] == replace(FIGURES, generator="a")
    with pytest.raises(InputError, match="different names"):
        study(generators + generators[:1], held_out, out)


@pytest.mark.parametrize("change", ["weights", "teacher", "step", "faces"])
def test_a_row_that_was_measured_on_something_else_is_refused(
    change: str, tmp_path: Path, held_out: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "measure", lambda generator, held_out: FIGURES)
    generator = NamedGenerator("a", tmp_path / "x")
    study([generator], held_out, tmp_path / "out.json")
    if change in ("weights", "teacher"):
        (tmp_path / {"weights": "x", "teacher": "teacher.onnx"}[change]).write_text("another")
    other = replace(generator, start_step=401) if change == "step" else generator
    again = replace(held_out, count=2) if change == "faces" else held_out
    with pytest.raises(ArtefactError, match="row 'a' of .* holds another run"):
        study([other], again, tmp_path / "out.json")


def test_table_and_picture(tmp_path: Path) -> None:
    rows = [replace(FIGURES, generator=name) for name in ("first", "second")]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(rows).splitlines()]
    assert lines[0][-2:] == ["statistics a", "size a"]
    assert lines[2][:4] == ["first", "1", "300", "0.5 (0.4 to 0.7)"]
    pytest.importorskip("matplotlib", reason="needs the extra `report`")
    picture(rows, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"


def test_a_step_that_a_kind_lacks_is_refused(tmp_path: Path, held_out: HeldOut) -> None:
    from despoof.generator.config import TINY
    from despoof.generator.registry import build_generator, save_generator

    save_generator(tmp_path / "g.safetensors", build_generator(replace(TINY, kind="one_step")))
    with pytest.raises(ConfigError, match="distilled at"):
        studies.measure(NamedGenerator("x", tmp_path / "g.safetensors", 101), held_out)
