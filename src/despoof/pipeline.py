"""The whole way for one image: image -> `Verdict`, whatever engine computes it."""

import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from despoof.data.image import ImageSource, readings
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.faces.align import AVERAGED_FROM, align, as_array, as_image, shrink
from despoof.faces.box import Box, overlap
from despoof.faces.detect import FindFaces, FoundFace, retinaface
from despoof.faces.quality import QualityLimits, Reason, gate
from despoof.faces.scene import Scene, look
from despoof.faces.surroundings import room, surroundings
from despoof.points import OperatingPoint, point_of
from despoof.profile import Profile, read_profile
from despoof.runs.config import to_dict
from despoof.verdict import Decision, Verdict, decide

if TYPE_CHECKING:
    from despoof.engine.engine import Engine, Judged, Pictures

SAME_FACE = 0.4  # least intersection over union of a found face with the box of the one that is asked about
BATCH = 16  # faces judged together; more gain nothing on a processor
NOTHING = (0.0, float("inf"))  # thresholds at which every liveness is UNCERTAIN
_process: int | None = None  # where the first guard was loaded; forked children inherit the number, spawned ones do not


@dataclass(frozen=True)
class Prepared:
    """A face (S, S, 3) uint8 on the way to be judged, or the reasons why it is not; milliseconds of each stage so far.

    `place` is what the verdict says of where the face is: `faces`, `box`, `room`, and `surroundings` (2, R, R, 3) uint8
    for a detector that looks at them.
    """

    face: np.ndarray | None
    reasons: tuple[Reason, ...]
    laps: dict[str, float] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)


class Guard:
    """An engine that judges images, and the rules by which it decides. Made by `load`.

    Threads may share one: its networks judge for one caller at a time. Processes may not: the threads of ONNX Runtime
    and torch do not survive a fork and would wait for ever, so a forked child gets a ConfigError. Start processes
    by "spawn"; a guard can be pickled.
    """

    def __init__(
        self,
        engine: "Engine",
        *,
        limits: QualityLimits | None = None,
        find: FindFaces | None = None,
        profile: Profile | None = None,
        point: str | None = None,
        measuring: bool = False,
    ) -> None:
        self.engine = engine
        self.limits = limits or QualityLimits()
        self.find = find
        self.profile = profile
        if profile is not None and point is not None:
            raise ConfigError(
                f"point {point!r} with profile {profile.name!r}, which has its own thresholds. Leave out one of them."
            )
        chosen = None if measuring or profile is not None else point_of(engine.facts, point)
        self.point = None if chosen is None else chosen.name
        self.thresholds, self.clip_thresholds = NOTHING, NOTHING
        if not measuring:
            self.thresholds, self.clip_thresholds = self._limits(chosen)
        self._ready()

    def _limits(self, point: OperatingPoint | None) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the thresholds for photos and for clips; what they were not measured with is an ArtefactError."""
        precision = self.engine.precision
        if self.profile is not None:
            self.profile.must_fit(weights=self.weights, preprocessing=self.preprocessing, precision=precision)
            return self.profile.photos.thresholds, self.profile.clips.thresholds
        assert point is not None
        measured = self.engine.facts["thresholds"].get("precision", "float32")
        if measured != precision:
            raise ArtefactError(
                f"the weights' thresholds were measured in {measured}, engine {self.engine_name} computes in "
                f"{precision}. Give a profile that was calibrated with this engine: load(..., measuring=True) and "
                "despoof.calibration make one."
            )
        return point.thresholds, point.thresholds

    def _ready(self) -> None:
        global _process  # noqa: PLW0603
        _process = _process or os.getpid()
        self._one_at_a_time = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_one_at_a_time"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._ready()

    @property
    def weights(self) -> dict[str, str]:
        """Hashes of the files of weights that decide, by their part."""
        return self.engine.weights

    @property
    def preprocessing(self) -> dict:
        """What happens to an image before it is judged; a threshold profile holds for this and no other."""
        from despoof.faces.prepare import ABOUT

        find = self.find or retinaface
        finder = ABOUT["detector"] if find is retinaface else getattr(find, "__qualname__", type(find).__qualname__)
        return ABOUT | {"detector": finder, "judged_at": self.engine.config.face_size, "gate": to_dict(self.limits)}

    def attention(self, verdict: Verdict) -> np.ndarray | None:
        """Return where on its cue the detector looked, (h, w) with sum 1; None without attention or cue."""
        if verdict.face is None or verdict.cue is None:
            return None
        with self._turn():
            found = self.engine.attention(as_image(verdict.face)[None], verdict.cue[None])
        return None if found is None else found[0]

    def with_counterpart(self, verdict: Verdict) -> Verdict:
        """Return a verdict with the counterpart, the cue and the map of its picture, where it was judged without them.

        Unchanged where they are there, where nothing was judged, and where there is no generator. They do not change
        what was decided. A generator that is missing or broken is an ArtefactError.
        """
        if verdict.face is None or verdict.liveness is None or verdict.counterpart is not None:
            return verdict
        with self._turn():
            made = self.engine.explain(as_image(verdict.face)[None])
        return verdict if made is None else replace(verdict, **_pictures(made, 0))

    def _turn(self) -> threading.Lock:
        """Return what one caller holds while networks work; in a forked child they would never end."""
        if os.getpid() != _process:
            raise ConfigError(
                f"a guard was loaded in process {_process}, and {os.getpid()} was forked from it without its threads. "
                'Start processes with multiprocessing.get_context("spawn").'
            )
        return self._one_at_a_time

    @property
    def engine_name(self) -> str:
        """What computes the liveness."""
        return self.engine.name

    def check(self, source: ImageSource, *, bgr: bool = False, face: Sequence[float] | None = None) -> Verdict:
        """Judge one image: a path, bytes, binary file, PIL image, or array or tensor in RGB order (uint8, float 0..1).

        `bgr` says that an array or tensor is in BGR order, as OpenCV reads images; other sources say it themselves.
        `face` is the box (left, top, width, height) of the face that is asked about, in px of the picture as it was
        read, found by whoever compares identities: that one is judged, as if it were alone, and where our own search
        finds none in its place there is no decision. What is no box is an InputError.
        Whatever cannot be judged (unreadable, no face, several, poor quality) is `NO_DECISION` with reasons;
        it is never live.
        """
        box = None if face is None else _box(face)
        return self._judged([self._prepare(source, bgr, box)])[0]

    def check_many(self, sources: Iterable[ImageSource], *, bgr: bool = False) -> list[Verdict]:
        """Judge images, arrays in RGB order, in batches; each verdict is as `check` alone would give it.

        A single image is an InputError. `milliseconds` of what a batch shares is its share of one face.
        """
        if isinstance(sources, str | bytes | bytearray | memoryview | os.PathLike) or (
            hasattr(sources, "read") or getattr(sources, "ndim", 4) != 4 or hasattr(sources, "getbands")
        ):
            raise InputError(f"one {type(sources).__name__}; expected several images. Judge a single one with check.")
        verdicts: list[Verdict] = []
        chunk: list[Prepared] = []
        for source in sources:
            chunk.append(self._prepare(source, bgr))
            if len(chunk) == BATCH:
                verdicts += self._judged(chunk)
                chunk = []
        return verdicts + self._judged(chunk)

    def check_faces(self, scene: Scene, thresholds: tuple[float, float] | None = None) -> list[Verdict]:
        """Judge the faces of a scene, see `despoof.faces.scene.look`, each as if it were alone there.

        What several faces mean is for the caller to say; `check` refuses such an image. `thresholds` are those of
        photos unless given.
        """
        clock, seen = _Clock(), {"faces": len(scene.faces)}
        alone = [self._prepare_face(replace(scene, faces=[face]), clock) for face in scene.faces]
        return self._judged([replace(one, place=one.place | seen) for one in alone], thresholds)

    def _prepare(self, source: ImageSource, bgr: bool, box: Box | None = None) -> Prepared:
        clock = _Clock()
        try:
            for image, spanned in readings(source):
                if bgr and hasattr(source, "ndim"):
                    image = np.ascontiguousarray(image[..., ::-1])  # noqa: PLW2901
                clock.lap("decode image")
                with self._turn():
                    scene = replace(look(image, self.find), spanned=spanned)
                clock.lap("detect")
                asked = scene.faces[:1] if box is None else _in_place(scene, box)
                if asked and asked[0].eye_distance >= max(AVERAGED_FROM, self.limits.eye_distance):
                    break  # at reduced size too: from the whole picture the face would be averaged down to less
        except InputError as error:
            return _unreadable(error)
        if box is None:
            return self._prepare_face(scene, clock)
        if not asked:
            return _elsewhere(scene, clock)
        alone = self._prepare_face(replace(scene, faces=asked), clock)
        return replace(alone, place=alone.place | {"faces": len(scene.faces)})

    def _prepare_face(self, scene: Scene, clock: "_Clock") -> Prepared:
        main = scene.faces[0] if scene.faces else None
        try:
            aligned = None if main is None else align(scene.image, main.landmarks)
        except InputError as error:
            return _unreadable(error)
        reasons = tuple(gate(scene.image, scene.faces, aligned, self.limits))
        if main is None or aligned is None:
            clock.lap("align and gate")
            return Prepared(None, reasons, dict(clock.laps))
        box = tuple(map(float, scene.in_source(main).box))
        around = surroundings(scene.image, main.box) if self.engine.config.uses_surroundings else None
        clock.lap("align and gate")
        face = shrink(aligned, self.engine.config.face_size)
        place = {"faces": len(scene.faces), "box": box, "room": room(scene.image, main.box), "surroundings": around}
        return Prepared(face, reasons, dict(clock.laps), place)

    def _judged(self, prepared: list[Prepared], thresholds: tuple[float, float] | None = None) -> list[Verdict]:
        """Return the verdict of each; those with a face and without a reason go through the networks together."""
        names = self._names | ({} if thresholds is None else {"thresholds": thresholds})
        waiting = [one for one in prepared if one.face is not None and not one.reasons]
        clock = _Clock()
        answer = self._answer(waiting, clock) if waiting else None
        shares = {name: value / len(waiting) for name, value in clock.laps.items()}
        places = iter(range(len(waiting)))
        return [
            _refused(one, names)
            if one.face is None or one.reasons
            else _decided(replace(one, laps=one.laps | shares), answer, next(places), names)
            for one in prepared
        ]

    def _answer(self, waiting: list[Prepared], clock: "_Clock") -> "Judged":
        faces, around = np.stack([one.face for one in waiting]), None
        if self.engine.config.uses_surroundings:
            around = np.stack([one.place["surroundings"] for one in waiting])
        with self._turn():
            judged = self.engine.judge(faces, around, clock.lap)
        if self.profile is None or self.profile.correction is None:
            return judged
        return judged._replace(liveness=self.profile.correction.corrected(judged.liveness, judged.embedding))

    @property
    def _names(self) -> dict[str, Any]:
        """What every verdict says of who judged."""
        return {
            "thresholds": self.thresholds,
            "weights": self.weights,
            "engine": self.engine_name,
            "profile": None if self.profile is None else self.profile.label,
            "point": self.point,
        }


def _refused(one: Prepared, names: dict[str, Any]) -> Verdict:
    face = None if one.face is None else as_array(one.face)
    return Verdict(Decision.NO_DECISION, reasons=one.reasons, face=face, milliseconds=one.laps, **one.place, **names)


def _decided(one: Prepared, answer: "Judged", place: int, names: dict[str, Any]) -> Verdict:
    liveness = float(answer.liveness[place])
    decision = decide(liveness, names["thresholds"])
    if decision is Decision.NO_DECISION:
        reason = Reason("broken", None, None, f"the networks gave {liveness}; restore the files of the weights.")
        return _refused(replace(one, reasons=(reason,)), names)
    more = {} if answer.pictures is None else _pictures(answer.pictures, place)
    if answer.embedding is not None:
        more["embedding"] = answer.embedding[place].copy()
    return Verdict(decision, liveness, face=as_array(one.face), **more, milliseconds=one.laps, **one.place, **names)


def _pictures(made: "Pictures", place: int) -> dict[str, np.ndarray | None]:
    """Return one face's pictures as fields of a verdict, copied out of their batch."""
    return {name: None if each is None else each[place].copy() for name, each in made._asdict().items()}


def _box(face: Sequence[float]) -> Box:
    try:
        left, top, width, height = map(float, face)
    except (TypeError, ValueError):
        width = float("nan")
    if not (width > 0 and height > 0 and all(map(math.isfinite, (left, top, width, height)))):
        raise InputError(f"face {face!r}; expected its box: left, top, width and height in px, the last two above 0.")
    return left, top, width, height


def _in_place(scene: Scene, box: Box) -> list[FoundFace]:
    """Return the face that overlaps a box of the picture as it was read most; none where none does enough."""
    shares = [overlap(scene.in_source(each).box, box) for each in scene.faces]
    best = max(range(len(shares)), key=shares.__getitem__, default=None)
    return [] if best is None or shares[best] < SAME_FACE else [scene.faces[best]]


def _elsewhere(scene: Scene, clock: "_Clock") -> Prepared:
    sentence = f"None of {len(scene.faces)} found faces is where the one that is asked about should be."
    return Prepared(None, (Reason("other_face", len(scene.faces), 1, sentence),), dict(clock.laps))


def _unreadable(error: InputError) -> Prepared:
    return Prepared(None, (Reason("unreadable", value=None, limit=None, sentence=str(error)),))


class _Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + (now - self._last) * 1e3
        self._last = now


def load(
    which: str | Path = "default",
    *,
    limits: QualityLimits | None = None,
    find: FindFaces | None = None,
    engine: str = "auto",
    profile: str | Path | Profile | None = None,
    point: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    measuring: bool = False,
) -> Guard:
    """Return a guard from a preset's name, from a folder of weights, or from "owner/name" or "owner/name@revision" of
    the Hugging Face hub, which needs the extra `hub`. Missing, truncated and foreign files are ArtefactErrors, and so
    is a detector of another generator, see `despoof.pair`.

    `engine` is what computes: "onnx" (ONNX Runtime, on the export that lies beside the weights), "openvino" or
    "openvino/bfloat16" on the same files, or "torch" on ``detector.safetensors`` and ``generator.safetensors``, which
    needs the extra `train`. "auto" is onnx where an export lies in the folder, as for the default weights, else torch.
    `find` searches faces in place of the default detector, for example `despoof.faces.detect.yunet(path)`.
    `point` names an operating point of the weights: strict, balanced (the default) or lenient; `despoof info` shows
    what to expect of each.
    `profile` is a file made by `despoof calibrate` or `despoof adapt` with these very weights, whose thresholds then
    decide, of liveness as its correction says if it has one.
    `device` is where torch or ONNX Runtime judges, such as "cuda"; `threads` are of the processor, else OMP_NUM_THREADS
    or a few.
    `measuring` decides nothing: every liveness is UNCERTAIN. A profile for an engine in bfloat16 is made so.
    """
    from despoof.engine.choose import open_engine

    if profile is not None and not isinstance(profile, Profile):
        profile = read_profile(profile)
    opened = open_engine(which, engine, device=device, threads=threads)
    return Guard(opened, limits=limits, find=find, profile=profile, point=point, measuring=measuring)
