"""What leaves the service of a verdict: the contract's values, no unasked pixels, no decoder's words, valid JSON; a
NaN in an answer is a 500, and a rounded-up liveness a wrong claim."""

import base64
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pydantic", reason="the extra `serve` is not installed")

from despoof.explanation import heat, where
from despoof.faces.quality import Reason
from despoof.service.schemas import (
    LIMITS,
    NO_CARD,
    heading,
    image_result,
    licence_of,
    model_response,
    read_cards,
)
from despoof.verdict import Decision, Verdict


def pixels(text: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert image.format == "PNG"
    return np.asarray(image)


def test_pictures_are_the_verdicts_and_only_on_request(make: Any) -> None:
    verdict = make.verdict()
    assert image_result(verdict, explain=False, decimals=3).pictures is None
    pictures = image_result(verdict, explain=True, decimals=3).pictures
    assert (pixels(pictures.face) == 0).all()
    assert (pixels(pictures.counterpart) == 255).all()
    cue = pixels(pictures.cue)
    assert (cue[:, :32] == 128).all()
    assert (cue[:, 32:] == 255).all()


def test_the_map_comes_in_colours_and_in_words(make: Any) -> None:
    departs = np.zeros((64, 64), np.float32)
    departs[46, 32] = 0.5
    pictures = image_result(replace(make.verdict(), map=departs), explain=True, decimals=3).pictures
    assert (pixels(pictures.departure) == heat(departs)).all()
    assert pictures.departs == f"The face {where(departs)}."
    assert "mouth" in pictures.departs
    plain = image_result(make.verdict(), explain=True, decimals=3).pictures
    assert plain.departure is plain.departs is None


def test_a_verdict_without_a_face_has_no_pictures_even_on_request() -> None:
    assert image_result(Verdict(Decision.NO_DECISION), explain=True, decimals=3).pictures is None


def test_a_face_that_was_not_judged_is_shown_alone() -> None:
    verdict = Verdict(Decision.NO_DECISION, face=torch.zeros(3, 8, 8))
    pictures = image_result(verdict, explain=True, decimals=3).pictures
    assert pictures.counterpart is pictures.cue is None
    assert pixels(pictures.face).shape == (8, 8, 3)


@pytest.mark.parametrize(("decimals", "sent"), [(3, 0.123), (1, 0.1), (None, None)])
def test_liveness_is_as_exact_as_configured(make: Any, decimals: int | None, sent: float | None) -> None:
    assert image_result(make.verdict(0.123456), explain=False, decimals=decimals).liveness == sent


def test_a_decision_without_a_liveness_is_no_decision() -> None:
    assert image_result(Verdict(Decision.LIVE), explain=False, decimals=3).decision is Decision.NO_DECISION


def test_a_refused_face_never_carries_a_liveness() -> None:
    verdict = Verdict(Decision.NO_DECISION, 0.99)
    assert image_result(verdict, explain=False, decimals=3).liveness is None


def test_reasons_keep_value_and_limit_and_are_valid_json() -> None:
    reasons = (
        Reason("too_dark", np.float64(21.5), 35.0, "The face is too dark."),
        Reason("broken", float("nan"), None, "the detector gave nan."),
        Reason("several_faces", 3, 1, "3 faces."),
    )
    sent = json.loads(
        image_result(Verdict(Decision.NO_DECISION, reasons=reasons), explain=False, decimals=3).model_dump_json(),
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )
    assert [(r["name"], r["value"], r["limit"]) for r in sent["reasons"]] == [
        ("too_dark", 21.5, 35), ("broken", None, None), ("several_faces", 3, 1),
    ]  # fmt: skip


def test_a_decoders_own_words_stay_inside() -> None:
    reason = Reason("unreadable", None, None, "cannot identify <_io.BytesIO object at 0x7f0012>")
    result = image_result(Verdict(Decision.NO_DECISION, reasons=(reason,)), explain=False, decimals=3)
    assert "0x7f" not in result.reasons[0].sentence
    assert "decoded" in result.reasons[0].sentence


def point(guard: Any) -> Any:
    return heading(guard, "x", "id").profile


def test_the_profile_changes_with_thresholds_and_quality_limits_only(make: Any) -> None:
    from dataclasses import replace

    guard, same = make.stub(None), make.stub(None)
    assert point(guard) == point(same)
    first = point(guard).version
    same.thresholds = (0.3, 0.7)
    other = make.stub(None)
    other.limits = replace(other.limits, yaw=12.0)
    assert len({first, point(same).version, point(other).version}) == 3


def test_about_tells_licence_and_limits_and_survives_nan(make: Any) -> None:
    answer = model_response(make.stub(None), "x", {"detector": "# Card\n\n## Licence\n\nResearch use only."}, "id")
    assert json.loads(answer.model_dump_json())["facts"]["loss"] is None
    assert answer.licence == "Research use only."
    assert answer.limits == list(LIMITS)
    assert any("not a certification" in sentence for sentence in answer.limits)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# Card\n\nText.\n\n**Licence.** Research\nuse only.\n\nMore.", "**Licence.** Research use only."),
        ("# Card\n## License\nApache-2.0\n\nMore.", "Apache-2.0"),
        ("| Licence | CC0 |\n", "| Licence | CC0 |"),
        ("# Card\n\nNothing.", NO_CARD),
        ("", NO_CARD),
    ],
)
def test_the_licence_is_what_the_card_says_of_it(text: str, found: str) -> None:
    assert licence_of({"a": text, "b": text}) == found


def test_cards_lie_beside_the_weights(tmp_path: Any) -> None:
    (tmp_path / "card.md").write_text("Licence: mine")
    assert read_cards(str(tmp_path)) == {"card": "Licence: mine"}
    assert read_cards(str(tmp_path / "none")) == {}


def test_photos_and_clips_each_name_the_thresholds_that_decided(make: Any) -> None:
    guard = make.stub(lambda source: Verdict(Decision.NO_DECISION), clip_thresholds=(0.4, 0.7))
    photo, clip = (heading(guard, "default", "id", clip=clip).profile for clip in (False, True))
    assert (photo.attack_below, photo.live_from) == (0.3, 0.6)
    assert (clip.attack_below, clip.live_from) == (0.4, 0.7)
    assert photo.version != clip.version
