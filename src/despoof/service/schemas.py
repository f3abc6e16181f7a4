"""What goes out: typed answers, and how a `Verdict` becomes one. No pixels unless they are asked for.

What is known of the weights that judge: versions, operating point, cards, licence, limits.
"""

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

import despoof
from despoof.clip.judge import ClipVerdict
from despoof.cue import cue_picture
from despoof.faces.align import as_image
from despoof.faces.quality import Reason
from despoof.pipeline import PRESETS, WEIGHTS, Guard
from despoof.runs.config import to_dict
from despoof.verdict import Decision, Verdict


class ReasonDetail(BaseModel):
    """One failed check."""

    name: str = Field(examples=["too_dark"])
    value: float | None = Field(description="what was measured, if anything")
    limit: float | None = Field(description="what it was measured against")
    sentence: str = Field(description="what to do about it")


class Pictures(BaseModel):
    """What explains a verdict: PNG files of one size, in base64."""

    face: str = Field(description="the aligned face as the camera saw it")
    counterpart: str | None = Field(description="what a real face of that person would have looked like")
    cue: str | None = Field(description="what differs; grey is nothing, scaled for each picture alone")


class ImageResult(BaseModel):
    """The outcome for one image."""

    decision: Decision = Field(description="only LIVE may open a door; NO_DECISION is not judged, see reasons")
    liveness: float | None = Field(ge=0, le=1, description="higher is more live; null without a decision")
    reasons: list[ReasonDetail] = Field(description="why there is no decision")
    milliseconds: dict[str, float] = Field(description="time of each stage")
    pictures: Pictures | None = Field(default=None, description="only with explain=true and where a face was found")


class OperatingPoint(BaseModel):
    """The operating point that decisions follow."""

    name: str
    version: str = Field(description="changes with thresholds, calibration or quality limits")
    attack_below: float = Field(description="liveness below this is ATTACK")
    live_from: float = Field(description="liveness from this is LIVE; between the two is UNCERTAIN")


class ModelVersion(BaseModel):
    """Which weights judged."""

    name: str
    package: str = Field(description="version of despoof")
    weights: dict[str, str] = Field(description="hash of each weights file")
    engine: str = Field(description="what computes the liveness", examples=["torch", "onnxruntime"])


class CheckResponse(ImageResult):
    """The answer for one image."""

    request_id: str
    model: ModelVersion
    profile: OperatingPoint


class BatchResponse(BaseModel):
    """The answers for several images, in their order."""

    request_id: str
    model: ModelVersion
    profile: OperatingPoint
    results: list[ImageResult]


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


class ClipResponse(ClipResult):
    """The answer for one clip."""

    request_id: str
    model: ModelVersion
    profile: OperatingPoint


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
        liveness=round(verdict.liveness, decimals) if judged and decimals is not None else None,
        reasons=[_reason_detail(reason) for reason in verdict.reasons],
        milliseconds={name: round(value, 1) for name, value in verdict.milliseconds.items()},
        pictures=_pictures(verdict) if explain and verdict.face is not None else None,
    )


def unjudged(reason: Reason) -> ImageResult:
    """Return the result of an image that never reached the guard."""
    return ImageResult(decision=Decision.NO_DECISION, liveness=None, reasons=[_reason_detail(reason)], milliseconds={})


def plain(value: Any) -> Any:
    """Return JSON values only: numbers that JSON does not know become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _reason_detail(reason: Reason) -> ReasonDetail:
    # A decoder's own words may hold addresses or versions; they are for the log of whoever calls the library.
    sentence = (
        "It cannot be decoded: it is truncated, damaged, or smaller or larger than allowed. Take or download it again."
        if reason.name == "unreadable"
        else reason.sentence
    )
    value, limit = (None if x is None else plain(float(x)) for x in (reason.value, reason.limit))
    return ReasonDetail(name=reason.name, value=value, limit=limit, sentence=sentence)


def _pictures(verdict: Verdict) -> Pictures:
    counterpart, cue = verdict.counterpart, verdict.cue
    return Pictures(
        face=_png(as_image(verdict.face)),
        counterpart=None if counterpart is None else _png(as_image(counterpart)),
        cue=None if cue is None else _png(cue_picture(cue)),
    )


def _png(pixels: Any) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def clip_result(verdict: ClipVerdict, *, decimals: int | None) -> ClipResult:
    """Return what may leave the service of a clip's verdict."""
    faces = [
        FaceResult(
            decision=face.decision,
            liveness=None if face.liveness is None or decimals is None else round(face.liveness, decimals),
            judged=face.judged,
            seen=len(face.sights),
            reasons=[_reason_detail(reason) for reason in face.reasons],
        )
        for face in verdict.faces
    ]
    return ClipResult(
        decision=verdict.decision,
        faces=faces,
        reasons=[_reason_detail(reason) for reason in verdict.reasons],
        frames=verdict.frames,
        seconds=round(verdict.seconds, 2),
    )


NO_CARD = "unknown: no card names one. Suppose that you have no right to use these weights."
LIMITS = (
    "Virtual cameras, capture sticks and replayed calls never meet a camera; nothing here can see that.",
    "Masks, make-up and other instruments that were not in training may pass.",
    "Cameras that were not in training give more errors than the card's figures.",
    "This is not a certification under ISO/IEC 30107-3; only a laboratory can give one, for a whole product.",
)


class ModelResponse(BaseModel):
    """The weights in full."""

    request_id: str
    model: ModelVersion
    profile: OperatingPoint
    licence: str
    cards: dict[str, str] = Field(description="model cards, Markdown")
    detector: dict[str, Any] = Field(description="its configuration")
    generator: dict[str, Any] | None = Field(description="its configuration")
    facts: dict[str, Any] = Field(description="what was measured on validation when the weights were made")
    quality_limits: dict[str, Any]
    limits: list[str] = Field(description="what this cannot do")


def model_version(guard: Guard, name: str) -> ModelVersion:
    """Return the versions that every answer carries."""
    return ModelVersion(name=name, package=despoof.__version__, weights=dict(guard.weights), engine=guard.engine_name)


def operating_point(guard: Guard) -> OperatingPoint:
    """Return the operating point that every answer carries."""
    low, high = guard.thresholds
    facts = guard.detector.facts
    calibration = [guard.detector.temperature, guard.detector.offset]
    parts = {"thresholds": [low, high], "calibration": calibration, "quality": to_dict(guard.limits)}
    name = facts.get("profile", "default") if guard.profile is None else guard.profile.name
    return OperatingPoint(
        name=name if isinstance(name, str) else "default",
        version=hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=6).hexdigest(),
        attack_below=low,
        live_from=high,
    )


def model_response(guard: Guard, name: str, cards: dict[str, str], request_id: str) -> ModelResponse:
    """Return everything that /v1/model tells."""
    return ModelResponse(
        request_id=request_id,
        model=model_version(guard, name),
        profile=operating_point(guard),
        licence=licence_of(cards),
        cards=cards,
        detector=plain(to_dict(guard.detector.config)),
        generator=None if guard.generator is None else plain(to_dict(guard.generator.config)),
        facts=plain(guard.detector.facts),
        quality_limits=plain(to_dict(guard.limits)),
        limits=list(LIMITS),
    )


def read_cards(which: str) -> dict[str, str]:
    """Return the cards that lie beside a preset's or a folder's weights, by file name without suffix."""
    folder, pattern = (WEIGHTS, f"*-{which}.md") if which in PRESETS else (Path(which), "*.md")
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob(pattern))}


def licence_of(cards: dict[str, str]) -> str:
    """Return the first words of each card on the licence, each once: a paragraph, or what follows such a heading."""
    found: list[str] = []
    for text in cards.values():
        paragraphs = [p.strip() for p in re.split(r"\n\s*\n|\n(?=#)|(?<=\n)(#[^\n]*)\n", text) if p and p.strip()]
        spoken = [i for i, paragraph in enumerate(paragraphs) if re.search(r"licen[cs]e", paragraph, re.IGNORECASE)]
        if spoken:
            first = spoken[0] + (paragraphs[spoken[0]].startswith("#") and spoken[0] + 1 < len(paragraphs))
            said = re.sub(r"\s+", " ", paragraphs[first])
            found += [said] if said not in found else []
    return " ".join(found) or NO_CARD
