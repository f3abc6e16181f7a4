"""`despoof check`: judge images and write what explains each verdict."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from despoof.clip.frame import Frame
    from despoof.clip.judge import ClipVerdict
    from despoof.pipeline import Guard
    from despoof.verdict import Verdict

EXIT = {"LIVE": 0, "ATTACK": 1, "UNCERTAIN": 2, "NO_DECISION": 3}


def check(
    *images: Path, weights: str = "default", engine: str = "auto", profile: Path | None = None,
    camera: int | None = None, out: Path | None = None, attention: bool = False, as_json: bool = False,
) -> None:  # fmt: skip
    """Judge images and clips; the exit status is 0 only if every one is LIVE (1 attack, 2 uncertain, 3 no decision).

    A clip, by its suffix, gives one verdict for each face in it, from the liveness of many frames.

    Args:
        images: files to judge, photos or clips.
        weights: a preset's name, or a folder with generator.safetensors and detector.safetensors.
        engine: torch, or a folder made by `despoof export` from these weights; auto is the one that
            `despoof export` keeps for them, and torch where there is none.
        profile: made by `despoof calibrate` with these weights; its thresholds decide.
        camera: number of a camera of this machine, judged as a clip of eight seconds.
        out: folder for one picture *face | counterpart | cue* per image, and a timeline per clip; none without it.
        attention: show in the picture, too, where on the cue the detector looked.
        as_json: print one JSON object per image instead of text.
    """
    from despoof.clip.frame import read_camera, read_clip
    from despoof.clip.rule import ClipRule
    from despoof.data.video import is_video
    from despoof.errors import InputError
    from despoof.pipeline import load
    from despoof.runs.progress import track

    if not images and camera is None:
        raise InputError("no image given; expected at least one path. Example: despoof check selfie.jpg --out why")
    guard = load(weights, engine=engine, profile=profile)
    worst, rule = 0, ClipRule()
    clips = any(map(is_video, images))  # each of which shows its own progress
    for i, image in enumerate(images if clips else track(images, "check", len(images))):
        stem = None if out is None else out / f"{i:03d}-{image.stem}"
        if is_video(image):
            frames = track(read_clip(image, rule), f"{image.name}: frames", rule.most_frames)
            decision = _clip(guard, str(image), frames, stem, as_json)
        else:
            decision = _image(guard, image, stem, as_json=as_json, attention=attention)
        worst = max(worst, EXIT[decision])
    if camera is not None:
        frames = track(read_camera(camera, rule), f"camera {camera}: frames", rule.most_frames)
        stem = None if out is None else out / f"camera-{camera}"
        worst = max(worst, EXIT[_clip(guard, f"camera {camera}", frames, stem, as_json)])
    sys.exit(worst)


def _image(guard: "Guard", image: Path, stem: Path | None, *, as_json: bool, attention: bool) -> str:
    verdict = guard.check(image)
    picture = None
    if stem is not None and verdict.face is not None:
        looked = guard.attention(verdict) if attention else None
        picture = verdict.save_explanation(stem.with_name(f"{stem.name}.png"), looked)
    print(json.dumps({"image": str(image)} | verdict.as_row()) if as_json else describe(str(image), verdict))
    if picture is not None and not as_json:
        print(f"  picture    {picture}")
    return verdict.decision.value


def _clip(guard: "Guard", name: str, frames: "Iterator[Frame]", stem: Path | None, as_json: bool) -> str:
    from despoof.clip.judge import judge_clip
    from despoof.clip.timeline import save_timeline

    verdict = judge_clip(guard, frames)
    print(json.dumps({"clip": name} | verdict.as_row()) if as_json else describe_clip(name, verdict))
    if stem is not None:
        pictures = [save_timeline(verdict, stem.with_name(f"{stem.name}-timeline.png"))]
        for i, face in enumerate(verdict.faces):
            if face.example is not None:
                pictures.append(face.example.save_explanation(stem.with_name(f"{stem.name}-face-{i}.png")))
        print(
            *([] if as_json else [f"  picture    {path}" for path in pictures]), sep="\n", end="" if as_json else "\n"
        )
    return verdict.decision.value


def describe_clip(name: str, verdict: "ClipVerdict") -> str:
    """Return a clip's verdict as a few lines of text."""
    low, high = verdict.thresholds
    lines = [f"{name}: {verdict.decision.value}   ({verdict.frames} frames of {verdict.seconds:.1f} s)"]
    for i, face in enumerate(verdict.faces):
        said = "not judged" if face.liveness is None else f"liveness {face.liveness:.3f} of {face.judged} frames"
        lines.append(f"  face {i}     {face.decision.value}, {said} (attack below {low:.3f}, live from {high:.3f})")
    lines += [f"  reason     {reason.sentence}" for reason in verdict.reasons]
    return "\n".join(lines)


def describe(name: str, verdict: "Verdict") -> str:
    """Return a verdict as a few lines of text."""
    lines = [f"{name}: {verdict.decision.value}"]
    if verdict.liveness is not None and verdict.thresholds is not None:
        low, high = verdict.thresholds
        lines.append(f"  liveness   {verdict.liveness:.3f}   (attack below {low:.3f}, live from {high:.3f})")
        lines.append(f"  engine     {verdict.engine}")
    if verdict.profile is not None:
        lines.append(f"  profile    {verdict.profile}")
    lines += [f"  reason     {reason.sentence}" for reason in verdict.reasons]
    if verdict.milliseconds:
        times = ", ".join(f"{stage} {value:.0f}" for stage, value in verdict.milliseconds.items())
        lines.append(f"  time, ms   {times}; in all {sum(verdict.milliseconds.values()):.0f}")
    return "\n".join(lines)
