"""What goes out: typed answers, and how a `Verdict` becomes one. No pixels unless they are asked for."""

import base64
import hashlib
import io
import json
import math
import re
from typing import Annotated, Any

from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

import despoof
from despoof.clip.judge import ClipVerdict
from despoof.cue import cue_picture
from despoof.explanation import heat, where
from despoof.faces.align import as_image
from despoof.faces.quality import Reason
from despoof.pair import PRESETS, place_of
from despoof.pipeline import Guard
from despoof.runs.config import to_dict
from despoof.verdict import Decision, Verdict

UNREADABLE = "It cannot be decoded: truncated, damaged, or smaller or larger than allowed. Take or download it again."
NO_CARD = "unknown: no card names one. Suppose that you have no right to use these weights."
LICENCE = re.compile(r"^(?:#.*licen[cs]e.*\s+(?=[^#\s])|(?=(?!#).*licen[cs]e))(.+(?:\n.+)*)", re.I | re.M)
LIMITS = (
    "Virtual cameras, capture sticks and replayed calls never meet a camera; nothing here can see that.",
    "Masks, make-up and other instruments that were not in training may pass.",
    "Cameras that were not in training give more errors than the card's figures.",
    "This is not a certification under ISO/IEC 30107-3; only a laboratory can give one, for a whole product.",
)
JsonFloat = Annotated[float | None, BeforeValidator(lambda x: x if x is not None and math.isfinite(x) else None)]


class ReasonDetail(BaseModel):
    """One failed check."""

    model_config = ConfigDict(from_attributes=True)
    name: str = Field(examples=["too_dark"])
    value: JsonFloat = Field(description="what was measured, if anything")
    limit: JsonFloat = Field(description="what it was measured against")
    sentence: str = Field(description="what to do about it")

    @field_validator("sentence")
    @classmethod
    def _without_a_decoders_words(cls, sentence: str, info: ValidationInfo) -> str:
        """They may hold addresses or versions, and are for the log of whoever calls the library."""
        return UNREADABLE if info.data["name"] == "unreadable" else sentence


class Pictures(BaseModel):
    """What was judged: PNG files of one size, in base64. They do not explain the verdict."""

    face: str = Field(description="the aligned face as the camera saw it")
    counterpart: str | None = Field(description="what the generator, which knows real faces only, made of it")
    cue: str | None = Field(description="their difference; grey is none, scaled for each picture alone")
    departure: str | None = Field(description="where the face departs from it, dark 0 to light 1 on one scale for all")
    departs: str | None = Field(description="in words: where most, and how far as a whole against live captures")


class ImageResult(BaseModel):
    """The outcome for one image."""

    decision: Decision = Field(description="only LIVE may open a door; NO_DECISION is not judged, see reasons")
    liveness: float | None = Field(ge=0, le=1, description="higher is more live; null without a decision")
    reasons: list[ReasonDetail] = Field(description="why there is no decision")
    faces: int = Field(default=0, description="how many were seen")
    box: list[float] | None = Field(
        default=None, description="left, top, width, height of the judged face, in pixels of the upright image as sent"
    )
    room: JsonFloat = Field(default=None, description="face widths seen around it, at most 2.7; below 1.5 is little")
    milliseconds: dict[str, float] = Field(default={}, description="time of each stage")
    pictures: Pictures | None = Field(default=None, description="only with explain=true and where a face was found")


class FaceResult(BaseModel):
    """The outcome for one face of a clip."""

    decision: Decision
    liveness: float | None = Field(ge=0, le=1, description="fused over the judged frames; null without a decision")
    judged: int = Field(description="frames in which it was judged")
    seen: int = Field(description="frames in which it was found")
    reasons: list[ReasonDetail]


class ClipResult(BaseModel):
    """The outcome for one clip."""

    decision: Decision = Field(description="LIVE only if there is exactly one face and that one is LIVE")
    faces: list[FaceResult]
    reasons: list[ReasonDetail] = Field(description="why there is no decision")
    frames: int = Field(description="how many were looked at")
    seconds: float = Field(description="from the first of them to the last")


class ModelVersion(BaseModel):
    """Which weights judged."""

    name: str
    package: str = Field(description="version of despoof")
    weights: dict[str, str] = Field(description="hash of each weights file")
    engine: str = Field(description="what computes the liveness", examples=["torch", "onnxruntime"])


class OperatingPoint(BaseModel):
    """The operating point that decisions follow."""

    name: str
    point: str | None = Field(description="of the weights: strict, balanced or lenient; null with a threshold profile")
    version: str = Field(description="changes with thresholds, calibration or quality limits")
    attack_below: float = Field(description="liveness below this is ATTACK")
    live_from: float = Field(description="liveness from this is LIVE; between the two is UNCERTAIN")


class Heading(BaseModel):
    """What every answer carries."""

    request_id: str
    model: ModelVersion
    profile: OperatingPoint


class CheckResponse(Heading, ImageResult):
    """The answer for one image."""


class BatchResponse(Heading):
    """The answers for several images, in their order."""

    results: list[ImageResult]


class ClipResponse(Heading, ClipResult):
    """The answer for one clip."""


class ModelResponse(Heading):
    """The weights in full."""

    licence: str
    cards: dict[str, str] = Field(description="model cards, Markdown")
    detector: dict[str, Any] = Field(description="its configuration")
    generator: dict[str, Any] | None = Field(description="its configuration; null where it does not judge")
    facts: dict[str, Any] = Field(description="what was measured when the weights were made; points: what to expect")
    quality_limits: dict[str, Any]
    limits: list[str] = Field(description="what this cannot do")


class ErrorResponse(BaseModel):
    """Why a request was not answered. Treat it as NO_DECISION."""

    request_id: str
    error: str = Field(description="a stable name", examples=["too_large"])
    detail: str = Field(description="what was expected and the next step")


def image_result(verdict: Verdict, *, explain: bool, decimals: int | None) -> ImageResult:
    """Return what may leave the service of a verdict."""
    judged = verdict.decision is not Decision.NO_DECISION and verdict.liveness is not None
    return ImageResult(
        decision=verdict.decision if judged else Decision.NO_DECISION,
        liveness=_rounded(verdict.liveness, decimals) if judged else None,
        reasons=verdict.reasons,
        faces=verdict.faces,
        box=None if verdict.box is None else [round(value, 1) for value in verdict.box],
        room=None if verdict.room is None else round(verdict.room, 2),
        milliseconds={name: round(value, 1) for name, value in verdict.milliseconds.items()},
        pictures=_pictures(verdict) if explain and verdict.face is not None else None,
    )


def unjudged(reason: Reason) -> ImageResult:
    """Return the result of an image that never reached the guard."""
    return ImageResult(decision=Decision.NO_DECISION, liveness=None, reasons=[reason])


def clip_result(verdict: ClipVerdict, *, decimals: int | None) -> ClipResult:
    """Return what may leave the service of a clip's verdict."""
    faces = [
        FaceResult(
            decision=face.decision,
            liveness=_rounded(face.liveness, decimals),
            judged=face.judged,
            seen=len(face.sights),
            reasons=face.reasons,
        )
        for face in verdict.faces
    ]
    return ClipResult(
        decision=verdict.decision,
        faces=faces,
        reasons=verdict.reasons,
        frames=verdict.frames,
        seconds=round(verdict.seconds, 2),
    )


def heading(guard: Guard, name: str, request_id: str, *, clip: bool = False) -> Heading:
    """Return what every answer carries: request id, versions and the operating point, of photos or of clips."""
    low, high = guard.clip_thresholds if clip else guard.thresholds
    facts = guard.engine.facts
    calibration = [facts.get("temperature", 1.0), facts.get("offset", 0.0)]
    parts = {"thresholds": [low, high], "calibration": calibration, "quality": to_dict(guard.limits)}
    if guard.profile is not None and guard.profile.correction is not None:
        parts["correction"] = guard.profile.label
    version = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=6).hexdigest()
    profile = str(facts.get("profile", "default")) if guard.profile is None else guard.profile.name
    return Heading(
        request_id=request_id,
        model=ModelVersion(name=name, package=despoof.__version__, weights=guard.weights, engine=guard.engine_name),
        profile=OperatingPoint(name=profile, point=guard.point, version=version, attack_below=low, live_from=high),
    )


def model_response(guard: Guard, name: str, cards: dict[str, str], request_id: str) -> ModelResponse:
    """Return everything that /v1/model tells."""
    return ModelResponse(
        **dict(heading(guard, name, request_id)),
        licence=licence_of(cards),
        cards=cards,
        detector=to_dict(guard.engine.config),
        generator=guard.engine.configs()["generator"] if guard.engine.config.uses_cue else None,
        facts=guard.engine.facts,
        quality_limits=to_dict(guard.limits),
        limits=LIMITS,
    )


def read_cards(which: str) -> dict[str, str]:
    """Return the cards that lie beside a preset's or a folder's weights, by file name without suffix."""
    pattern = f"*-{which}.md" if which in PRESETS else "*.md"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(place_of(which).glob(pattern))}


def licence_of(cards: dict[str, str]) -> str:
    """Return what each card says of the licence, each once: the paragraph from that word on, or what such a heading
    stands over."""
    found = [LICENCE.search(text) for text in cards.values()]
    return " ".join(dict.fromkeys(re.sub(r"\s+", " ", match[1]) for match in found if match)) or NO_CARD


def _rounded(liveness: float | None, decimals: int | None) -> float | None:
    return None if liveness is None or decimals is None else round(liveness, decimals)


def _pictures(verdict: Verdict) -> Pictures:
    counterpart, cue, departs = verdict.counterpart, verdict.cue, verdict.map
    return Pictures(
        face=_png(as_image(verdict.face)),
        counterpart=None if counterpart is None else _png(as_image(counterpart)),
        cue=None if cue is None else _png(cue_picture(cue)),
        departure=None if departs is None else _png(heat(departs)),
        departs=None if departs is None else f"The face {where(departs)}.",
    )


def _png(pixels: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
