"""The whole way for one image: image -> `Verdict`. The only place where generator, cue and detector meet."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from despoof.data.image import ImageSource, read_image
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.faces.detect import FindFaces, retinaface
from despoof.faces.quality import QualityLimits, Reason, gate
from despoof.faces.scene import Scene, look
from despoof.faces.surroundings import room, surroundings
from despoof.pair import files_of, parents_of, read_generator
from despoof.points import OperatingPoint, point_of
from despoof.profile import Profile, read_profile
from despoof.runs.config import to_dict
from despoof.verdict import Decision, Verdict, decide

if TYPE_CHECKING:
    import torch

    from despoof.detector.network import Detector
    from despoof.engine.runtime import Engine
    from despoof.generator.generator import Generator

BATCH = 16  # faces judged together; more gain nothing on a processor
NOTHING = (0.0, float("inf"))  # thresholds at which every liveness is UNCERTAIN
_process: int | None = None  # where the first guard was loaded; forked children inherit the number, spawned ones do not


@dataclass(frozen=True)
class Prepared:
    """A face (3, S, S) on the way to be judged, or the reasons why it is not; milliseconds of each stage so far.

    `place` is what the verdict says of where the face is: `faces`, `box`, `room`, and `surroundings` (2, R, R, 3) uint8
    for a detector that looks at them.
    """

    face: "torch.Tensor | None"
    reasons: tuple[Reason, ...]
    laps: dict[str, float] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)


class Answer(NamedTuple):
    """What the networks say of faces: liveness (N,), NaN where something broke; counterparts and cues (N, 3, S, S)."""

    liveness: "torch.Tensor"
    counterparts: "torch.Tensor | None"
    cues: "torch.Tensor | None"


class Guard:
    """A generator and a detector that judge images. Made by `load`.

    Threads may share one: its networks judge for one caller at a time. Processes may not: the threads of torch and
    ONNX Runtime do not survive a fork and would wait for ever, so a forked child gets a ConfigError. Start processes
    by "spawn"; a guard can be pickled.
    """

    def __init__(
        self,
        generator: "Generator | None",
        detector: "Detector",
        *,
        limits: QualityLimits,
        weights: dict[str, str],
        find: FindFaces | None = None,
        engine: "Engine | None" = None,
        profile: Profile | None = None,
        point: str | None = None,
        maker: "Callable[[], Generator] | None" = None,  # reads the generator, where pictures alone need it
        measuring: bool = False,
    ) -> None:
        self._generator, self._maker = generator, maker
        self.detector = detector
        self.limits = limits
        self.find = find
        self.engine = engine
        self.weights = weights
        self.profile = profile
        if profile is not None and point is not None:
            raise ConfigError(
                f"point {point!r} with profile {profile.name!r}, which has its own thresholds. Leave out one of them."
            )
        chosen = None if measuring or profile is not None else point_of(detector, point)
        self.point = None if chosen is None else chosen.name
        self.thresholds, self.clip_thresholds = NOTHING, NOTHING
        if not measuring:
            self.thresholds, self.clip_thresholds = self._limits(chosen)
        self._ready()

    def _limits(self, point: OperatingPoint | None) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the thresholds for photos and for clips; what they were not measured with is an ArtefactError."""
        precision = "float32" if self.engine is None else self.engine.precision
        if self.profile is not None:
            self.profile.must_fit(weights=self.weights, preprocessing=self.preprocessing, precision=precision)
            return self.profile.photos.thresholds, self.profile.clips.thresholds
        assert point is not None
        measured = self.detector.facts["thresholds"].get("precision", "float32")
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
    def generator(self) -> "Generator | None":
        """What makes counterparts; for a detector without cue it makes pictures only and is read when first asked for.

        None where there is none; one that cannot be read is an ArtefactError.
        """
        if self._generator is None and self._maker is not None:
            self._generator = self._maker().to(self.device)
        return self._generator

    @property
    def device(self) -> "torch.device":
        """Where the networks judge."""
        return next(self.detector.parameters()).device

    @property
    def preprocessing(self) -> dict:
        """What happens to an image before it is judged; a threshold profile holds for this and no other."""
        from despoof.faces.prepare import ABOUT

        find = self.find or retinaface
        finder = ABOUT["detector"] if find is retinaface else getattr(find, "__qualname__", type(find).__qualname__)
        return ABOUT | {"detector": finder, "judged_at": self.detector.config.face_size, "gate": to_dict(self.limits)}

    def attention(self, verdict: Verdict) -> "torch.Tensor | None":
        """Return where on its cue the detector looked, (h, w) with sum 1; None without attention or cue."""
        if verdict.face is None or verdict.cue is None:
            return None
        with self._turn():
            found = self.detector.attention_map(*(one[None].to(self.device) for one in (verdict.face, verdict.cue)))
        return None if found is None else found[0].cpu()

    def with_counterpart(self, verdict: Verdict) -> Verdict:
        """Return a verdict with the counterpart and the cue of its picture, which a detector without cue does not need.

        Unchanged where they are there, where nothing was judged, and where there is no generator. They do not change
        what was decided. A generator that is missing or broken is an ArtefactError.
        """
        import torch

        from despoof.cue import cue

        if verdict.face is None or verdict.liveness is None or verdict.counterpart is not None:
            return verdict
        with self._turn(), torch.inference_mode():
            if (generator := self.generator) is None:
                return verdict
            face = verdict.face[None].to(self.device)
            made = generator.counterpart(face)
            if not _sound(made):
                raise ArtefactError("the generator gave no numbers for a picture. Restore the file of its weights.")
            shown = cue(face, made, self.detector.config.cue_form)
        return replace(verdict, counterpart=made[0].cpu(), cue=shown[0].cpu())

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
        return "torch" if self.engine is None else self.engine.name

    def check(self, source: ImageSource, *, bgr: bool = False) -> Verdict:
        """Judge one image: a path, bytes, binary file, PIL image, or array or tensor in RGB order (uint8, float 0..1).

        `bgr` says that an array or tensor is in BGR order, as OpenCV reads images; other sources say it themselves.
        Whatever cannot be judged (unreadable, no face, several, poor quality) is `NO_DECISION` with reasons;
        it is never live.
        """
        return self._judged([self._prepare(source, bgr)])[0]

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

    def _prepare(self, source: ImageSource, bgr: bool) -> Prepared:
        clock = _Clock()
        try:
            image = read_image(source)
            if bgr and hasattr(source, "ndim"):
                image = np.ascontiguousarray(image[..., ::-1])
            clock.lap("decode image")
            with self._turn():
                scene = look(image, self.find)
            clock.lap("detect")
        except InputError as error:
            return _unreadable(error)
        return self._prepare_face(scene, clock)

    def _prepare_face(self, scene: Scene, clock: "_Clock") -> Prepared:
        from despoof.faces.align import align, as_tensor

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
        around = surroundings(scene.image, main.box) if self.detector.config.uses_surroundings else None
        clock.lap("align and gate")
        face = as_tensor(aligned, self.detector.config.face_size)
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

    def _answer(self, waiting: list[Prepared], clock: "_Clock") -> Answer:
        import torch

        around = None
        if self.detector.config.uses_surroundings:
            around = torch.from_numpy(np.stack([one.place["surroundings"] for one in waiting]))
        with self._turn(), torch.inference_mode():
            faces = torch.stack([one.face for one in waiting])
            by_torch = partial(self._by_torch, clock=clock)
            answer = (by_torch if self.engine is None else self._by_engine)(faces, around)
        clock.lap("detector" if self.engine is None else self.engine_name)
        return answer

    def _by_torch(self, faces: "torch.Tensor", around: "torch.Tensor | None", clock: "_Clock") -> Answer:
        """Judge faces (N, 3, S, S) in [-1, 1] and their surroundings (N, 2, R, R, 3) uint8."""
        from despoof.cue import cue
        from despoof.faces.align import scaled

        faces = faces.to(self.device)
        around = None if around is None else scaled(around.to(self.device))
        if not self.detector.config.uses_cue or (generator := self.generator) is None:
            return Answer(self.detector.liveness(faces, None, around).cpu(), None, None)
        counterparts = generator.counterpart(faces, lap=clock.lap)
        sound = _sound(counterparts)
        usable = counterparts.where(sound[:, None, None, None], faces)  # of a broken one nothing more is said
        cues = cue(faces, usable, self.detector.config.cue_form)
        liveness = self.detector.liveness(faces, cues, around).where(sound, np.nan)
        return Answer(liveness.cpu(), usable.cpu(), cues.cpu())

    def _by_engine(self, faces: "torch.Tensor", around: "torch.Tensor | None") -> Answer:
        import torch

        from despoof.faces.align import as_image
        from despoof.generator.schedule import content_noise

        noise, shape = None, self.engine.description["noise"]
        if shape is not None:
            noise = torch.stack([content_noise(face, torch.Size(shape), 0) for face in faces]).numpy()
        pixels = np.stack([as_image(face) for face in faces])
        found = self.engine(pixels, noise, None if around is None else around.numpy())
        liveness, *made = (None if array is None else torch.from_numpy(array) for array in found)
        for pictures in made:
            liveness = liveness if pictures is None else liveness.where(_sound(pictures), np.nan)
        return Answer(liveness, *made)

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
    return Verdict(
        Decision.NO_DECISION, reasons=one.reasons, face=one.face, milliseconds=one.laps, **one.place, **names
    )


def _decided(one: Prepared, answer: Answer, place: int, names: dict[str, Any]) -> Verdict:
    liveness, made = float(answer.liveness[place]), answer.counterparts is not None
    decision = decide(liveness, names["thresholds"])
    if decision is Decision.NO_DECISION:
        reason = Reason("broken", None, None, f"the networks gave {liveness}; restore the files of the weights.")
        return _refused(replace(one, reasons=(reason,)), names)
    return Verdict(
        decision, liveness, face=one.face, counterpart=answer.counterparts[place].clone() if made else None,
        cue=answer.cues[place].clone() if made else None, milliseconds=one.laps, **one.place, **names,
    )  # fmt: skip


def _sound(pictures: "torch.Tensor") -> "torch.Tensor":
    """Return which of (N, 3, S, S) hold no NaN and no infinity, (N,)."""
    return pictures.isfinite().flatten(1).all(1)


def _unreadable(error: InputError) -> Prepared:
    return Prepared(None, (Reason("unreadable", value=None, limit=None, sentence=str(error)),))


class _Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = (now - self._last) * 1e3
        self._last = now


def load(
    which: str | Path = "default",
    *,
    limits: QualityLimits | None = None,
    find: FindFaces | None = None,
    engine: "str | Path | Engine" = "torch",
    profile: str | Path | Profile | None = None,
    point: str | None = None,
    device: str = "cpu",
    measuring: bool = False,
) -> Guard:
    """Return a guard from a preset's name or from a folder with ``detector.safetensors`` and
    ``generator.safetensors``. Missing, truncated and foreign files are ArtefactErrors, and so is a detector of another
    generator, see `require_pair`. A detector without cue judges without generator; that one then makes the pictures of
    `Guard.with_counterpart`, and its file is read when they are first asked for.
    `find` searches faces in place of the default detector, for example `despoof.faces.detect.yunet(path)`.
    `engine` is "torch", a folder made by `despoof export` from these very weights, or an `Engine`; "auto" is the
    folder that `despoof export` keeps for these weights and the installed runtimes, and torch where there is none.
    `point` names an operating point of the weights: strict, balanced (the default) or lenient; `despoof info` shows
    what to expect of each.
    `profile` is a file made by `despoof calibrate` with these very weights, whose thresholds then decide.
    `device` is where torch judges, such as "cuda"; an engine is for the processor.
    `measuring` decides nothing: every liveness is UNCERTAIN. A profile for an engine in bfloat16 is made so.
    """
    from despoof.detector.network import load_detector
    from despoof.runs.checkpoint import file_hash

    generator_file, detector_file = files_of(which)
    detector = load_detector(detector_file)
    weights = {"detector": file_hash(detector_file)}
    generator, maker = None, None
    if detector.config.uses_cue:
        generator = read_generator(generator_file, detector, detector_file)
        weights["generator"] = file_hash(generator_file)
    elif generator_file.exists() or "generator" in parents_of(detector):
        maker = partial(read_generator, generator_file, detector, detector_file)
    if profile is not None and not isinstance(profile, Profile):
        profile = read_profile(profile)
    limits = limits or QualityLimits()
    chosen = _open(engine, weights)
    if chosen is not None and device != "cpu":
        raise ConfigError(f"device {device!r} with {chosen.name}, which is for the processor. Leave out one of them.")
    try:
        for part in filter(None, (generator, detector)):
            part.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a torch without CUDA
        raise ConfigError(f"device {device!r} cannot be used here ({error}). Leave it out for the processor.") from None
    return Guard(
        generator, detector, limits=limits, weights=weights, find=find, engine=chosen, profile=profile, point=point,
        maker=maker, measuring=measuring,
    )  # fmt: skip


def _open(engine: "str | Path | Engine", weights: dict[str, str]) -> "Engine | None":
    """Return the engine of a folder, or None for torch; a folder that is there and broken is an ArtefactError."""
    import torch

    from despoof.engine.runtime import Engine, open_engine, usual_folder

    if isinstance(engine, Engine):
        return engine
    folder = usual_folder(weights) if engine == "auto" else None if engine == "torch" else engine
    if folder is None or (engine == "auto" and not Path(folder).exists()):
        return None
    return open_engine(folder, threads=torch.get_num_threads(), weights=weights)
