"""`despoof check`: judge photos and clips, and write pictures of what was judged."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from despoof.clip.attempts import AttemptPolicy
    from despoof.clip.frame import Frame
    from despoof.clip.judge import ClipVerdict
    from despoof.pipeline import Guard
    from despoof.verdict import Verdict

EXIT = {"LIVE": 0, "ATTACK": 10, "UNCERTAIN": 11, "NO_DECISION": 12}  # apart from those of errors, see cli/__init__.py


def _no_option(_: type, given: str) -> None:
    """Refuse what begins with a hyphen but is not standard input."""
    if given.startswith("-") and given != "-":
        raise ValueError(f"Unknown option: {given}. A file of such a name is given as ./{given}")


Images = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_no_option)]


def check(
    *images: Images, weights: str = "default", engine: str = "auto", point: str | None = None,
    profile: Path | None = None, camera: int | None = None, attempts: Path | None = None, out: Path | None = None,
    attention: bool = False, as_json: bool = False,
) -> None:  # fmt: skip
    """Judge images and clips; the exit status is 0 only if every one is LIVE.

    Else it is that of the worst: 10 ATTACK, 11 UNCERTAIN, 12 NO_DECISION. A clip, by its suffix, gives one verdict for
    each face in it, from the liveness of many frames.

    Args:
        images: photos or clips: files, folders (everything below them), patterns such as "in/*.jpg", or - for one photo
            or clip from standard input.
        weights: a preset's name, a folder of weights or of an export, or owner/name of the hub.
        engine: auto, onnx, openvino, openvino/bfloat16 or torch; auto is onnx where the weights have an export beside
            them (the default ones have), else torch.
        point: strict, balanced or lenient, an operating point of the weights; `despoof info` shows what to expect of
            each. Left out, balanced.
        profile: made by `despoof calibrate` or `despoof adapt` with these weights; they decide, and no point.
        camera: number of a camera of this machine, judged as a clip of eight seconds.
        attempts: TOML file that says how often the camera is asked (most), in how many seconds, and after which
            decisions again; the last attempt counts. Left out, once.
        out: folder for one picture *face | counterpart | departure* per image, with what is around the face where the
            detector looks there, and a timeline per clip; none without it. It does not show why.
        attention: show in the picture, too, where on the cue the detector looked.
        as_json: print one JSON object per image instead of text.
    """
    from despoof.clip.attempts import AttemptPolicy
    from despoof.clip.frame import container_of, read_clip
    from despoof.clip.rule import ClipRule
    from despoof.data.video import is_video
    from despoof.errors import InputError
    from despoof.pipeline import load
    from despoof.runs.config import read_toml
    from despoof.runs.progress import track

    if not images and camera is None:
        raise InputError("no image given; expected at least one path. Example: despoof check selfie.jpg --out pictures")
    policy = None if attempts is None else read_toml(AttemptPolicy, attempts)
    paths = [path for image in images for path in _expanded(image)]
    guard, rule, decisions = load(weights, engine=engine, profile=profile, point=point), ClipRule(), []
    moving = camera is not None or any(map(is_video, paths))  # clips show their own progress
    for i, path in enumerate(paths if moving else track(paths, "check", len(paths))):
        data = sys.stdin.buffer.read() if path == "-" else None
        name = "standard input" if data is not None else path
        stem = None if out is None else out / f"{i:03d}-{'stdin' if data is not None else Path(path).stem}"
        if is_video(path) or (data and container_of(data)):
            frames = track(read_clip(path if data is None else data, rule), f"{name}: frames", rule.most_frames)
            decisions.append(_clip(guard, name, frames, stem, as_json).decision.value)
        else:
            source = path if data is None else data
            decisions.append(_image(guard, name, source, stem, as_json=as_json, attention=attention))
    if camera is not None:
        stem = None if out is None else out / f"camera-{camera}"
        decisions.append(_camera(guard, camera, policy, stem, as_json))
    if len(decisions) > 1:
        counts = Counter(decisions)
        said = ", ".join(f"{name} {counts[name]}" for name in EXIT if counts[name])
        print(f"{len(decisions)} judged: {said}", file=sys.stderr if as_json else sys.stdout)
    sys.exit(max(map(EXIT.__getitem__, decisions)))


def _expanded(given: str) -> list[str]:
    """Return the files that an argument stands for; what cannot be read at all here is said before any work."""
    from glob import has_magic

    from despoof.data.image import IMAGE_SUFFIXES, require_readable
    from despoof.data.video import VIDEO_SUFFIXES, is_video, require_pyav
    from despoof.errors import InputError

    if given == "-":
        return [given]
    path = Path(given).expanduser()
    found = [str(path)]
    if path.is_dir():
        suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES
        found = sorted(str(file) for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
    elif has_magic(given) and not path.exists():
        found = sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))
    if not found:
        raise InputError(f"{given} holds no photo and no clip; expected some. Check the path.")
    for file in found:
        (require_pyav if is_video(file) else require_readable)(file)
    return found


def _image(guard: "Guard", name: str, source: Any, stem: Path | None, *, as_json: bool, attention: bool) -> str:
    verdict = guard.check(source)
    picture = None
    if stem is not None and verdict.face is not None:
        shown = guard.with_counterpart(verdict)
        looked = guard.attention(shown) if attention else None
        picture = shown.save_explanation(stem.with_name(f"{stem.name}.png"), looked)
    print(json.dumps({"image": name} | verdict.as_row()) if as_json else describe(name, verdict))
    if picture is not None and not as_json:
        print(f"  picture    {picture}")
    return verdict.decision.value


def _clip(guard: "Guard", name: str, frames: "Iterable[Frame]", stem: Path | None, as_json: bool) -> "ClipVerdict":
    from despoof.clip.judge import judge_clip
    from despoof.clip.timeline import save_timeline

    verdict = judge_clip(guard, frames)
    print(json.dumps({"clip": name} | verdict.as_row()) if as_json else describe_clip(name, verdict))
    if stem is not None:
        pictures = [save_timeline(verdict, stem.with_name(f"{stem.name}-timeline.png"))]
        for i, face in enumerate(verdict.faces):
            if face.example is not None:
                example = guard.with_counterpart(face.example)
                pictures.append(example.save_explanation(stem.with_name(f"{stem.name}-face-{i}.png")))
        if not as_json:
            print(*(f"  picture    {path}" for path in pictures), sep="\n")
    return verdict


def _camera(guard: "Guard", camera: int, policy: "AttemptPolicy | None", stem: Path | None, as_json: bool) -> str:
    from despoof.clip.attempts import admit
    from despoof.clip.frame import read_camera
    from despoof.clip.rule import ClipRule
    from despoof.runs.progress import track

    def present() -> "ClipVerdict":
        frames = track(read_camera(camera, ClipRule()), f"camera {camera}: frames", ClipRule().most_frames)
        return _clip(guard, f"camera {camera}", frames, stem, as_json)

    if policy is None:
        return present().decision.value
    found = admit(present, policy)
    print(f"{found.decision}: {found.why}", file=sys.stderr if as_json else sys.stdout)
    return found.decision.value


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
    from despoof.verdict import LITTLE_ROOM

    lines = [f"{name}: {verdict.decision.value}"]
    if verdict.liveness is not None and verdict.thresholds is not None:
        low, high = verdict.thresholds
        lines.append(f"  liveness   {verdict.liveness:.3f}   (attack below {low:.3f}, live from {high:.3f})")
    if verdict.room is not None and verdict.room < LITTLE_ROOM:
        lines.append(f"  room       little of the surroundings is seen: {verdict.room:.1f} face widths")
    lines.append(f"  engine     {verdict.engine}")
    for name, held in (("profile", verdict.profile), ("point", verdict.point)):
        lines += [] if held is None else [f"  {name:<10} {held}"]
    lines += [f"  reason     {reason.sentence}" for reason in verdict.reasons]
    if verdict.milliseconds:
        times = ", ".join(f"{stage} {value:.0f}" for stage, value in verdict.milliseconds.items())
        lines.append(f"  time, ms   {times}; in all {sum(verdict.milliseconds.values()):.0f}")
    return "\n".join(lines)
