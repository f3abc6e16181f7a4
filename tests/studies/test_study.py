"""Studies: rows are kept, measured alike, and figures are those of a hand-made case; a row measured on other faces than
its neighbour would compare nothing."""

import csv
from pathlib import Path

import numpy as np
import pytest

from despoof.errors import ConfigError, InputError
from despoof.studies import generators as studies
from despoof.studies.generators import Candidate, Material, markdown, picture, study

FIGURES = {
    "t": "1", "cosine": "0.5", "cosine low": "0.4", "cosine high": "0.7", "residual": "0.1", "residual low": "0.1",
    "residual high": "0.1", "statistics a": "0.6", "statistics a low": "0.5", "statistics a high": "0.65",
}  # fmt: skip
MATERIAL = Material(None, None, Path("teacher.onnx"))


def test_rows_are_read_from_text() -> None:
    assert Candidate.parse("a=b.safetensors") == Candidate("a", Path("b.safetensors"), None)
    assert Candidate.parse("a=b@c.safetensors@401") == Candidate("a", Path("b@c.safetensors"), 401)
    for wrong in ("a", "=b", "a=", "a=b@x", "a=b@"):
        with pytest.raises(InputError, match="NAME=FILE"):
            Candidate.parse(wrong)


def test_a_killed_study_goes_on_and_measures_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def measured(candidate: Candidate, material: Material) -> dict[str, str]:
        if candidate.name == "c" and "c" not in seen:
            seen.append("c")
            raise KeyboardInterrupt
        seen.append(candidate.name)
        return dict(FIGURES)

    monkeypatch.setattr(studies, "measure", measured)
    candidates = [Candidate(name, Path("x")) for name in "abcd"]
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        study(candidates, MATERIAL, out)
    assert [row["name"] for row in csv.DictReader(out.open())] == ["a", "b"]
    rows = study(candidates, MATERIAL, out)
    assert seen == ["a", "b", "c", "c", "d"]
    assert [row["name"] for row in rows] == list("abcd")
    with pytest.raises(InputError, match="different names"):
        study(candidates + candidates[:1], MATERIAL, out)


def test_table_and_picture(tmp_path: Path) -> None:
    rows = [{"name": name} | FIGURES for name in ("first", "second")]
    assert markdown(rows).splitlines()[2] == "| first | 1 | 0.5 (0.4–0.7) | 0.1 (0.1–0.1) | 0.6 (0.5–0.65) |"
    pytest.importorskip("matplotlib", reason="needs the extra `report`")
    picture(rows, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    found = studies._mean("x", np.array([1.0, 2.0, 3.0, 4.0]))
    half = 1.96 * np.sqrt(5 / 3) / 2  # variance 5/3 over n - 1
    assert found["x"] == "2.5000"
    assert float(found["x low"]) == pytest.approx(2.5 - half, abs=1e-4)
    assert float(found["x high"]) == pytest.approx(2.5 + half, abs=1e-4)


def test_every_row_sees_the_same_faces_and_few_stay_few() -> None:
    rows = list(range(50))
    first, again, other = (studies._pick(rows, 10, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) == 10
    assert studies._pick(rows, 99, 0) == rows


def test_a_step_that_a_kind_lacks_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    from despoof.generator.config import TINY
    from despoof.generator.registry import build_generator, save_generator

    save_generator(tmp_path / "g.safetensors", build_generator(replace(TINY, kind="one_step")))
    with pytest.raises(ConfigError, match="distilled at"):
        studies.measure(Candidate("x", tmp_path / "g.safetensors", 101), MATERIAL)
