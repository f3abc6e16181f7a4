"""Frames -> `ClipVerdict`: find and follow faces, judge each frame, fuse what a face's frames say."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from despoof.clip.frame import Frame
from despoof.clip.rule import ClipRule
from despoof.clip.track import Track, assign
from despoof.errors import InputError
from despoof.faces.quality import Reason, counted
from despoof.faces.scene import Scene, look
from despoof.pipeline import Guard
from despoof.verdict import Decision, Outcome, Verdict, decide


@dataclass(frozen=True)
class Sight:
    """One face in one frame: seconds from the first, its verdict there."""

    seconds: float
    verdict: Verdict = field(repr=False)


@dataclass(frozen=True)
class FaceVerdict(Outcome):
    """The outcome for one face of a clip. `liveness` is the lowest median of the parts of its `judged` frames."""

    decision: Decision
    liveness: float | None
    reasons: tuple[Reason, ...]
    sights: tuple[Sight, ...] = field(repr=False, compare=False)

    @property
    def judged(self) -> int:
        """In how many frames this face was judged."""
        return sum(sight.verdict.liveness is not None for sight in self.sights)

    @property
    def example(self) -> Verdict | None:
        """The judged frame whose liveness is nearest to the fused one; None where none was judged."""
        judged = [sight.verdict for sight in self.sights if sight.verdict.liveness is not None]
        return min(judged, key=lambda one: abs(one.liveness - (self.liveness or 0.0)), default=None)


@dataclass(frozen=True)
class ClipVerdict(Outcome):
    """The outcome for a clip. `decision` is LIVE only if there is exactly one face and that one is LIVE."""

    decision: Decision
    faces: tuple[FaceVerdict, ...]
    reasons: tuple[Reason, ...]
    frames: int  # looked at
    seconds: float  # from the first of them to the last
    thresholds: tuple[float, float]
    weights: dict[str, str] = field(repr=False, hash=False)
    engine: str = "torch"
    profile: str | None = None
    point: str | None = None

    def as_row(self) -> dict:
        """Return what a log or a service may keep: no pixels."""
        return {
            "decision": self.decision.value,
            "reasons": [dataclasses.asdict(reason) for reason in self.reasons],
            "faces": [
                {
                    "decision": face.decision.value,
                    "liveness": None if face.liveness is None else round(face.liveness, 4),
                    "judged": face.judged,
                    "seen": len(face.sights),
                    "reasons": [dataclasses.asdict(reason) for reason in face.reasons],
                }
                for face in self.faces
            ],
            "frames": self.frames,
            "seconds": round(self.seconds, 2),
            "thresholds": self.thresholds,
            "weights": self.weights,
            "engine": self.engine,
            "profile": self.profile,
            "point": self.point,
        }


def judge_clip(guard: Guard, frames: Iterable[Frame], rule: ClipRule | None = None) -> ClipVerdict:
    """Judge a clip, frame by frame as they come, to its end. One that cannot be read is NO_DECISION with the reason.

    A guard whose profile was measured by another rule is an ArtefactError.
    """
    rule = rule or ClipRule()
    if guard.profile is not None:
        guard.profile.must_fit(clip_rule=rule.deciding())
    tracks: list[Track] = []
    turn = Turn()
    count, last = 0, 0.0
    try:
        for frame in frames:
            count, last = count + 1, frame.seconds
            _judge_frame(guard, turn.look(guard, frame), frame.seconds, tracks, rule)
    except InputError as error:
        return _verdict(guard, [], (Reason("unreadable", None, None, str(error)),), count, last)
    least = max(2.0, rule.least_share * count)  # a box in a frame or two is no face
    faces = [_fused(guard, track, rule) for track in tracks if len(track.seen) >= min(least, count)]
    if not faces:
        sentence = f"No face was seen in {least:.0f} of {count} frames. Show one face."
        return _verdict(guard, [], (Reason("no_face", 0, least, sentence),), count, last)
    several = Reason("several_faces", len(faces), 1, f"{len(faces)} faces were seen. Show one alone.")
    return _verdict(guard, faces, (several,) if len(faces) > 1 else faces[0].reasons, count, last)


def part_medians(liveness: list[float], rule: ClipRule) -> list[float]:
    """Return the median of each part of a clip's liveness, in order of time."""
    count = max(1, min(rule.parts, len(liveness) // rule.least_part))
    return [float(np.median(part)) for part in np.array_split(liveness, count)]


class Turn:
    """The quarter turns that set a clip upright: those of most of the first frames with a face, and of all after."""

    FIRST = 3  # frames with a face; a turn is a matter of how the camera was held, and of no single frame

    def __init__(self) -> None:
        self.seen: list[int] = []

    def look(self, guard: Guard, frame: Frame) -> Scene:
        """Return the scene of the next frame."""
        if len(self.seen) == self.FIRST:
            return look(frame.image, guard.find, quarter_turns=max(self.seen, key=self.seen.count))
        scene = look(frame.image, guard.find)
        if scene.faces:
            self.seen.append(scene.quarter_turns)
        return scene


def _judge_frame(guard: Guard, scene: Scene, seconds: float, tracks: list[Track], rule: ClipRule) -> None:
    faces = counted(scene.faces, guard.limits)[: rule.most_faces]
    verdicts = guard.check_faces(dataclasses.replace(scene, faces=faces), guard.clip_thresholds)
    where = [scene.in_source(face) for face in faces]  # borders and turns may differ from frame to frame
    for track, verdict in zip(assign(tracks, where), verdicts, strict=True):
        track.seen.append((seconds, verdict))


def _fused(guard: Guard, track: Track, rule: ClipRule) -> FaceVerdict:
    sights = tuple(Sight(seconds, verdict) for seconds, verdict in track.seen)
    liveness = [verdict.liveness for _, verdict in track.seen if verdict.liveness is not None]
    if len(liveness) < rule.least_judged:
        causes = sorted({reason.name for _, verdict in track.seen for reason in verdict.reasons})
        sentence = (
            f"The face was judged in {len(liveness)} frames; expected at least {rule.least_judged}"
            f"{' (' + ', '.join(causes) + ')' if causes else ''}. Record longer, in good light, facing the camera."
        )
        reason = Reason("too_few_frames", len(liveness), rule.least_judged, sentence)
        return FaceVerdict(Decision.NO_DECISION, None, (reason,), sights)
    medians = part_medians(liveness, rule)
    lowest, highest = min(medians), max(medians)  # a few wild frames move neither
    decision, best = (decide(value, guard.clip_thresholds) for value in (lowest, highest))
    if decision is Decision.ATTACK and best is Decision.LIVE:
        sentence = (
            f"Liveness is {highest:.2f} in one part of the clip and {lowest:.2f} in another. Show one face from "
            "beginning to end."
        )
        reason = Reason("changes", lowest, guard.clip_thresholds[0], sentence)
        return FaceVerdict(Decision.NO_DECISION, lowest, (reason,), sights)
    return FaceVerdict(decision, lowest, (), sights)


def _verdict(
    guard: Guard, faces: list[FaceVerdict], reasons: tuple[Reason, ...], count: int, seconds: float
) -> ClipVerdict:
    alone = len(faces) == 1
    return ClipVerdict(
        faces[0].decision if alone else Decision.NO_DECISION,
        tuple(faces),
        reasons,
        count,
        seconds,
        guard.clip_thresholds,
        guard.weights,
        guard.engine_name,
        None if guard.profile is None else guard.profile.label,
        guard.point,
    )
