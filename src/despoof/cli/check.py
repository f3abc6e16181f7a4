"""`despoof check`: judge images and write what explains each verdict."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from despoof.pipeline import Verdict

EXIT = {"LIVE": 0, "ATTACK": 1, "UNCERTAIN": 2, "NO_DECISION": 3}


def check(
    *images: Path, weights: str = "small", engine: str = "auto", out: Path | None = None, as_json: bool = False
) -> None:
    """Judge images; the exit status is 0 only if every one is LIVE (1 attack, 2 uncertain, 3 no decision).

    Args:
        images: files to judge.
        weights: a preset's name, or a folder with generator.safetensors and detector.safetensors.
        engine: torch, or a folder made by `despoof export` from these weights; auto is the one that
            `despoof export` keeps for them, and torch where there is none.
        out: folder for one picture *face | counterpart | cue* per image; none is written without it.
        as_json: print one JSON object per image instead of text.
    """
    from despoof.errors import InputError
    from despoof.pipeline import load
    from despoof.runs.progress import track

    if not images:
        raise InputError("no image given; expected at least one path. Example: despoof check selfie.jpg --out why")
    guard = load(weights, engine=engine)
    worst = 0
    for i, image in enumerate(track(images, "check", len(images))):
        verdict = guard.check(image)
        worst = max(worst, EXIT[verdict.decision.value])
        picture = None
        if out is not None and verdict.face is not None:
            picture = verdict.save_explanation(out / f"{i:03d}-{image.stem}.png")
        print(json.dumps({"image": str(image)} | verdict.as_row()) if as_json else describe(str(image), verdict))
        if picture is not None and not as_json:
            print(f"  picture    {picture}")
    sys.exit(worst)


def describe(name: str, verdict: "Verdict") -> str:
    """Return a verdict as a few lines of text."""
    lines = [f"{name}: {verdict.decision.value}"]
    if verdict.liveness is not None and verdict.thresholds is not None:
        low, high = verdict.thresholds
        lines.append(f"  liveness   {verdict.liveness:.3f}   (attack below {low:.3f}, live from {high:.3f})")
        lines.append(f"  engine     {verdict.engine}")
    lines += [f"  reason     {reason.sentence}" for reason in verdict.reasons]
    if verdict.milliseconds:
        times = ", ".join(f"{stage} {value:.0f}" for stage, value in verdict.milliseconds.items())
        lines.append(f"  time, ms   {times}; in all {sum(verdict.milliseconds.values()):.0f}")
    return "\n".join(lines)
