"""What a person is shown: colours that all can order, a sentence that says what was measured and no more."""

import json

import numpy as np
import pytest
from PIL import ImageFont
from safetensors import safe_open

import despoof.explanation
from despoof.departure.departure import departure_of
from despoof.errors import InputError
from despoof.explanation import ELSEWHERE, LIVE, REGIONS, caption, colours, heat, region, share_below, sheet
from despoof.faces.align import TEMPLATE
from despoof.pair import files_of

# Simulated vision of Machado, Oliveira and Fernandes (2009), severity 1, linear RGB.
VISION = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "usual": np.eye(3),
}


def lightness(linear: np.ndarray) -> np.ndarray:
    """CIE L* of linear RGB (N, 3)."""
    luminance = np.clip(linear, 0, 1) @ (0.2126, 0.7152, 0.0722)
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


@pytest.mark.parametrize("eye", VISION)
def test_colours_grow_lighter_for_every_eye(eye: str) -> None:
    code = colours() / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    seen = lightness(linear @ np.array(VISION[eye]).T)
    assert (np.diff(seen[::8]) > 1).all()  # about one just noticeable difference in each 32nd of the scale
    assert seen[-1] - seen[0] > 70


def test_equal_numbers_have_equal_colours_in_every_picture() -> None:
    low, high = np.full((4, 4), 0.25), np.full((4, 4), 0.25)
    high[0, 0] = 1
    assert (heat(low)[1] == heat(high)[1]).all()
    assert (heat(high)[0, 0] == colours()[255]).all()
    for wrong in (np.full((4, 4), 1.1), np.full((4, 4), np.nan), np.zeros((1, 4, 4))):
        with pytest.raises(InputError, match="expected"):
            heat(wrong)


def test_regions_hold_the_landmarks_that_faces_are_aligned_to() -> None:
    for name, (x, y) in zip(("eyes", "eyes", "nose", "mouth", "mouth"), TEMPLATE, strict=True):
        departs = np.zeros((128, 128))
        departs[round(y * 128), round(x * 128)] = 0.5
        assert region(departs) == name
    for name, (row, column) in {"forehead": (15, 64), "cheeks": (75, 30), ELSEWHERE: (2, 2)}.items():
        departs = np.zeros((128, 128))
        departs[row, column] = 0.5
        assert region(departs) == name
    assert all(left < right and top < low for left, top, right, low in REGIONS.values())


def test_the_sentence_says_what_was_measured() -> None:
    departs = np.full((64, 64), (LIVE[0] + LIVE[-1]) / 2)
    departs[46, 32] += 1e-4
    said = caption("ATTACK", 0.0123, departs)
    assert said.startswith("ATTACK, liveness 0.012; departs")
    assert f"more than {round(100 * share_below(departs))} of 100 live captures" in said
    assert "mouth" in said
    assert said.count(".") == 2  # of the number and of the sentence
    assert caption("NO_DECISION", None, None) == "NO_DECISION, not judged."


def test_every_sentence_fits_over_three_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    font = ImageFont.load_default(13)
    for name in (*REGIONS, ELSEWHERE):
        monkeypatch.setattr(despoof.explanation, "region", lambda departs, name=name: name)
        assert font.getlength(caption("NO_DECISION", 0.888, np.ones((8, 8)))) <= 3 * 256 - 16


def test_shares_follow_the_quantiles() -> None:
    assert list(LIVE) == sorted(LIVE)
    for place in (0, len(LIVE) // 2, len(LIVE) - 1):
        assert share_below(np.full((2, 2), LIVE[place])) == pytest.approx(place / (len(LIVE) - 1), abs=0.01)
    assert share_below(np.zeros((2, 2))) == 0
    assert share_below(np.ones((2, 2))) == 1


def test_a_sheet_holds_each_picture_and_the_scale_under_the_map() -> None:
    face, departs = np.full((8, 8, 3), 90, np.uint8), heat(np.full((8, 8), 0.7))
    drawn = np.asarray(sheet("Said.", {"face": face, "departure": departs}))
    assert drawn.shape == (256 + 52, 512, 3)
    assert (drawn[26:282, :256] == 90).all()
    assert (drawn[26:282, 256:] == departs[0, 0]).all()
    bar = drawn[282 + 14, 512 - 116 : 512 - 20].astype(int).sum(1)
    assert (np.diff(bar) >= 0).all()
    assert bar[-1] - bar[0] > 300


def test_the_quantiles_are_those_that_were_measured_for_what_ships() -> None:
    with safe_open(str(departure_of(files_of("default")[1])), framework="np") as file:
        facts = json.loads(file.metadata()["facts"])
    assert list(LIVE) == facts["strength"]["quantiles"]
