"""The command from pictures to page with the default weights and a model named by TOML; and the page in a browser."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from browser import Page, chromium
from despoof.cli.app import build_app
from despoof.data.sample import Label, Sample
from despoof.faces.prepare import prepare
from despoof.pair import WEIGHTS
from despoof.report.page import Section, Table, page_html
from tiny_onnx import mean_network

TOML = """
name = "redness"
licence = "none"
needs = "face"
[[networks]]
file = "redness.onnx"
scale = 1.0
size = 32
colour = "rgb"
range = [0.0, 1.0]
output = "probabilities"
live = 0
"""


def test_from_pictures_to_a_page(people: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Adding a public model takes its file and one TOML."""
    samples = []
    for number, image in enumerate(people):
        label = Label.LIVE if number % 2 else Label.ATTACK
        samples.append(Sample(f"{number}.png", label, domain="ab"[number // 4], source=str(tmp_path)))
        cv2.imwrite(samples[-1].file, image[..., ::-1])
    store = prepare(samples, tmp_path / "store", workers=1)
    mean_network(tmp_path / "redness.onnx", [[1, 0, 0]], 32)
    (tmp_path / "redness.toml").write_text(TOML)
    line = ["leaderboard", str(store.root), str(tmp_path / "out"), "--peer", str(tmp_path / "redness.toml"),
            "--steady", "4", "--runs", "2", "--rounds", "20"]  # fmt: skip
    build_app()(line, result_action="return_value")
    assert "redness" in capsys.readouterr().out
    values = json.loads((tmp_path / "out/leaderboard.json").read_text())
    ours, peer = values["rows"]
    assert (ours["name"], ours["learned"], ours["unknown"], ours["left out"]) == ("despoof", [], [], [])  # new to it
    assert peer["parameters"] == 3
    assert ours["parameters"] > 1e6
    about = json.loads((WEIGHTS / "despoof.json").read_text())
    assert ours["threshold"] == about["points"]["balanced"]["live_from"]
    assert (values["faces"], values["cameras"]) == (8, 2)
    for row in values["rows"]:
        assert 0 <= row["figures"]["AUC"]["value"] <= 1
        assert row["stability"]["faces"] == 4
        assert row["milliseconds"]["median"] > 0
    # The mean red in the box of each face, by hand, gives the same order.
    from despoof.faces.scene import look
    from despoof.metrics import auc

    reds = []
    for image in people:
        scene = look(image)
        x, y, width, height = scene.faces[0].box
        reds.append(scene.image[round(y) : round(y + height), round(x) : round(x + width), 0].mean())
    areas = [auc(np.array(reds[i + 1 : i + 4 : 2]), np.array(reds[i : i + 4 : 2])) for i in (0, 4)]
    assert peer["figures"]["AUC"]["value"] == pytest.approx(np.mean(areas), abs=0.13)
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert "src=" not in page


@pytest.mark.skipif(chromium() is None, reason="no Chromium here")
def test_a_table_is_sorted_by_the_column_that_is_pressed(tmp_path: Path) -> None:
    rows = (("model", "HTER"), ("a", "11.5 (7.9–15.6)"), ("b", "9.1"), ("c", "–"), ("d", "-3.0 (-4 to 1)"))
    page = tmp_path / "page.html"
    page.write_text(page_html("t", [Section("s", tables=(Table(rows, "w"),))], sorting=True), encoding="utf-8")
    tab = Page(tmp_path)
    try:
        tab.goto(page.as_uri())

        def order(place: int) -> list[str]:
            tab.run(f"document.querySelectorAll('thead button')[{place}].click()")
            return tab.run("[...document.querySelectorAll('tbody tr')].map((row) => row.cells[0].textContent)")

        assert order(1) == ["d", "b", "a", "c"]
        assert order(1) == ["a", "b", "d", "c"]  # what has no figure stays last
        assert order(0) == ["a", "b", "c", "d"]
        assert tab.run("document.querySelector('[aria-sort]').textContent") == "model"
        assert not tab.complaints
        assert [url for _, url in tab.requests if not url.startswith("file:")] == []
    finally:
        tab.close()


def test_a_report_without_sorting_has_no_script() -> None:
    html = page_html("t", [Section("s", tables=(Table((("a",), ("1",)), "w"),))])
    assert "<script" not in html
    assert "script-src" not in html
