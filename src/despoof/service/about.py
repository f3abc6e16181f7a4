"""What is known of the weights that judge: versions, operating point, cards, licence, limits."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

import despoof
from despoof.pipeline import PRESETS, WEIGHTS, Guard
from despoof.runs.config import to_dict
from despoof.service.answers import ModelVersion, Profile, plain

NO_CARD = "unknown: no card names one. Suppose that you have no right to use these weights."
LIMITS = (
    "Virtual cameras, capture sticks and replayed calls never meet a camera; nothing here can see that.",
    "Masks, make-up and other instruments that were not in training may pass.",
    "Cameras that were not in training give more errors than the card's figures.",
    "This is not a certification under ISO/IEC 30107-3; only a laboratory can give one, for a whole product.",
)


class ModelAnswer(BaseModel):
    """The weights in full."""

    request_id: str
    model: ModelVersion
    profile: Profile
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


def profile_of(guard: Guard) -> Profile:
    """Return the operating point that every answer carries."""
    low, high = guard.thresholds
    facts = guard.detector.facts
    calibration = [guard.detector.temperature, guard.detector.offset]
    parts = {"thresholds": [low, high], "calibration": calibration, "quality": to_dict(guard.limits)}
    name = facts.get("profile", "default") if guard.profile is None else guard.profile.name
    return Profile(
        name=name if isinstance(name, str) else "default",
        version=hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=6).hexdigest(),
        attack_below=low,
        live_from=high,
    )


def about(guard: Guard, name: str, cards: dict[str, str], request_id: str) -> ModelAnswer:
    """Return everything that /v1/model tells."""
    return ModelAnswer(
        request_id=request_id,
        model=model_version(guard, name),
        profile=profile_of(guard),
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
