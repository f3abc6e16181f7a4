"""The command on simulated recordings of the public-domain portrait, through the guard that ships."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from despoof.cli.app import build_app
from despoof.data.portrait import FACE, portrait
from despoof.data.simulation.recapture import recapture
from despoof.errors import ConfigError, InputError

pytest.importorskip("matplotlib", reason="the page needs the extra `report`")


def run(*tokens: object) -> int:
    try:
        build_app()([str(token) for token in tokens], result_action="return_value")
    except SystemExit as stopped:
        return stopped.code
    return 0


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recordings")
    for seed in range(3):
        for species, folder in (("live", "live/p"), ("display", "attacks/display/p"), ("print", "attacks/print/p")):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(recapture(portrait(), species, seed, box=FACE)).save(root / folder / f"{seed}.png")
    return root


def test_recordings_give_a_page_and_its_figures(recordings, tmp_path, capsys):
    status = run("qualify", recordings, tmp_path)
    values = json.loads((tmp_path / "qualify.json").read_text())
    assert status == 1  # nine presentations show nothing
    assert [each["name"] for each in values["targets"]] == ["nist-800-63", "fido"]
    assert "met" not in {each["outcome"] for each in values["targets"]}
    assert (values["presentations"], values["subjects"]) == (9, 1)
    lines = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()[1:]]
    assert all({"size", "room", "luma", "sharpness", "clipped"} == set(each[-1]) for each in lines)
    page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    said = capsys.readouterr().out
    assert "nist-800-63" in said
    for found in (page, text):
        assert "This report is no certification" in found
        assert "IAPMR" in found
    assert page.count("<img") == 1  # the histogram; no face unless that is asked for
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["liveness.png"]
    assert not re.search("[0-9]\\.png", page + text)  # nor the name of a file, which may be a person's


def test_faces_that_were_misjudged_are_shown_only_if_asked_for(recordings, tmp_path):
    assert run("qualify", recordings, tmp_path, "--apcer", 0.5, "--bpcer", 0.5, "--pictures") == 1
    values = json.loads((tmp_path / "qualify.json").read_text())
    (target,) = values["targets"]
    assert (target["name"], target["source"]) == ("own", "limits given by whoever asked")
    errors = sum(each["errors"] for each in target["parts"])
    assert errors > 0
    assert (tmp_path / "report.html").read_text().count("<img") == 1 + errors


def test_a_target_that_is_met_ends_with_zero(recordings, tmp_path):
    """Three live faces without an error bound BPCER below 71 %: 0.29 ** 3 < 0.025."""
    assert run("qualify", recordings, tmp_path, "--bpcer", 0.75) == 0


def test_sheet_has_the_counts_and_no_recordings_are_needed(tmp_path, capsys):
    assert run("qualify", "--sheet", "--out", tmp_path, "--target", "nist-800-63") == 0
    page = (tmp_path / "sheet.html").read_text()
    assert capsys.readouterr().out.strip() == str(tmp_path / "sheet.html")
    assert "no certification" in page
    assert ">51<" in page
    for species in ("print", "display-phone", "cut-out"):
        assert f">{species}<" in page
    assert "<img" not in page
    assert "<script" not in page


def test_wrong_use_is_named(tmp_path):
    with pytest.raises(InputError, match="no recordings"):
        run("qualify")
    with pytest.raises(ConfigError, match="iso"):
        run("qualify", tmp_path, "--target", "iso")
    with pytest.raises(ConfigError, match="limit 7"):
        run("qualify", tmp_path, "--apcer", 7)
