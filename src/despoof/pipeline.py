"""The whole way for one image: image -> `Verdict`. The only place where generator, cue and detector meet."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch

from despoof.cue import cue as make_cue
from despoof.cue import cue_picture
from despoof.data.image import ImageSource, read_image
from despoof.detector.network import Detector, load_detector
from despoof.engine.runtime import Engine, open_engine, usual_folder
from despoof.errors import ArtefactError, InputError
from despoof.faces.align import align, as_image, as_tensor
from despoof.faces.detect import FindFaces, FoundFace, find_faces, retinaface
from despoof.faces.prepare import ABOUT
from despoof.faces.quality import QualityLimits, Reason, gate
from despoof.generator.registry import LatentDiffusion, load_generator
from despoof.generator.schedule import content_noise
from despoof.profile import Profile, read_profile
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import to_dict
from despoof.runs.folder import atomic_path

WEIGHTS = Path(__file__).parent / "weights"
PRESETS = ("small",)
BATCH = 16  # faces judged together; more gain nothing on a processor


class Decision(StrEnum):
    """What follows from a liveness. Only `LIVE` may ever open a door."""

    LIVE = "LIVE"
    ATTACK = "ATTACK"
    UNCERTAIN = "UNCERTAIN"  # between the two thresholds: ask for another picture or another check
    NO_DECISION = "NO_DECISION"  # not judged at all: see the reasons


@dataclass(frozen=True)
class Verdict:
    """The outcome for one image.

    `liveness` is in 0..1, higher is more live; None where there is no decision. `thresholds` are the liveness
    below which a face is an attack, and from which it is live. `face`, `counterpart`, `cue` are (3, S, S)
    tensors or None. `milliseconds` holds the time of each stage.
    """

    decision: Decision
    liveness: float | None = None
    reasons: tuple[Reason, ...] = ()
    thresholds: tuple[float, float] | None = None
    face: torch.Tensor | None = field(default=None, repr=False)
    counterpart: torch.Tensor | None = field(default=None, repr=False)
    cue: torch.Tensor | None = field(default=None, repr=False)
    milliseconds: dict[str, float] = field(default_factory=dict, repr=False)
    weights: dict[str, str] = field(default_factory=dict, repr=False)
    engine: str = "torch"  # what computed the liveness
    profile: str | None = None  # the threshold profile that decided; None: the weights' own operating point

    @property
    def is_live(self) -> bool:
        """True only for the decision LIVE."""
        return self.decision is Decision.LIVE

    def as_row(self) -> dict:
        """Return what a log or a service may keep: no pixels."""
        return {
            "decision": self.decision.value,
            "liveness": None if self.liveness is None else round(self.liveness, 4),
            "reasons": [reason.sentence for reason in self.reasons],
            "thresholds": self.thresholds,
            "milliseconds": {name: round(value, 1) for name, value in self.milliseconds.items()},
            "weights": self.weights,
            "engine": self.engine,
            "profile": self.profile,
        }

    def save_explanation(self, path: str | Path, attention: torch.Tensor | None = None) -> Path:
        """Write *face | counterpart | cue* with the verdict as a PNG; a verdict without a face is an InputError.

        A fourth panel shows `attention` (h, w), see `Guard.attention`: bright is looked at, whatever follows from it.
        """
        from PIL import Image, ImageDraw, ImageFont

        if self.face is None:
            raise InputError(f"no picture to explain: {'; '.join(reason.sentence for reason in self.reasons)}")
        panels = {"face": as_image(self.face)}
        if self.counterpart is not None and self.cue is not None:
            panels |= {"counterpart": as_image(self.counterpart), "cue": cue_picture(self.cue)}
        if attention is not None:
            share = (attention / attention.max()).numpy()[..., None]
            panels["attention"] = (share * (255, 220, 150)).astype(np.uint8)
        side, bar = 256, 26
        sheet = Image.new("RGB", (side * len(panels), side + 2 * bar), (16, 18, 22))
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
        said = "not judged" if self.liveness is None else f"liveness {self.liveness:.3f}"
        draw.text((8, 5), f"{self.decision.value}   {said}", (240, 240, 240), font)
        for i, (name, pixels) in enumerate(panels.items()):
            panel = Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.BICUBIC)
            sheet.paste(panel, (i * side, bar))
            draw.text((i * side + 8, side + bar + 5), name, (170, 176, 186), font)
        with atomic_path(path) as temporary:
            sheet.save(temporary, "PNG")
        return Path(path)


class Guard:
    """A generator and a detector that judge images. Made by `load`."""

    def __init__(
        self,
        generator: LatentDiffusion | None,
        detector: Detector,
        *,
        limits: QualityLimits,
        weights: dict[str, str],
        find: FindFaces | None = None,
        engine: Engine | None = None,
        profile: Profile | None = None,
    ) -> None:
        self.generator = generator
        self.detector = detector
        self.limits = limits
        self.find = find
        self.engine = engine
        self.weights = weights
        self.thresholds = detector.thresholds  # an ArtefactError without them: nothing may be decided
        self.profile = profile
        if profile is not None:
            profile.must_fit(weights, self.preprocessing)
            self.thresholds = profile.thresholds

    @property
    def preprocessing(self) -> dict:
        """What happens to an image before it is judged; a threshold profile holds for this and no other."""
        find = self.find or retinaface
        finder = ABOUT["detector"] if find is retinaface else getattr(find, "__qualname__", type(find).__qualname__)
        return ABOUT | {"detector": finder, "judged_at": self.detector.config.face_size, "gate": to_dict(self.limits)}

    def attention(self, verdict: Verdict) -> torch.Tensor | None:
        """Return where on its cue the detector looked, (h, w) with sum 1; None without attention or cue."""
        if verdict.face is None or verdict.cue is None:
            return None
        found = self.detector.attention_map(verdict.face[None], verdict.cue[None])
        return None if found is None else found[0]

    def decide(self, liveness: float) -> Decision:
        """Return what follows from a liveness; what is no number in 0..1 is NO_DECISION."""
        low, high = self.thresholds
        if not 0 <= liveness <= 1:  # NaN included: weights that broke on the way must not open a door
            return Decision.NO_DECISION
        return Decision.LIVE if liveness >= high else Decision.UNCERTAIN if liveness >= low else Decision.ATTACK

    @property
    def engine_name(self) -> str:
        """What computes the liveness."""
        return "torch" if self.engine is None else self.engine.name

    def check(self, source: ImageSource) -> Verdict:
        """Judge one image: a path, bytes, array (uint8, or float in 0..1, RGB) or PIL image.

        Whatever cannot be judged (unreadable, no face, several, poor quality) is `NO_DECISION` with reasons;
        it is never live.
        """
        return self.check_many([source])[0]

    def check_many(self, sources: Iterable[ImageSource]) -> list[Verdict]:
        """Judge images, those with a face together in batches; each verdict is as `check` alone would give it.

        `milliseconds` of what a batch shares is its share of one face.
        """
        verdicts: list[Verdict] = []
        chunk: list[ImageSource] = []
        for source in sources:
            chunk.append(source)
            if len(chunk) == BATCH:
                verdicts += self._check_chunk(chunk)
                chunk = []
        return verdicts + self._check_chunk(chunk)

    def check_faces(self, image: np.ndarray, found_faces: list[FoundFace]) -> list[Verdict]:
        """Judge faces that were found in one image (H, W, 3) uint8 RGB, each as if it were alone there.

        What several faces mean is for the caller to say; `check` refuses such an image.
        """
        clock = _Clock()
        return self._judged([self._prepare_face(image, [found], clock) for found in found_faces])

    def _check_chunk(self, sources: list[ImageSource]) -> list[Verdict]:
        return self._judged([self._prepare(source) for source in sources])

    def _judged(self, prepared: list[Verdict]) -> list[Verdict]:
        waiting = [i for i, verdict in enumerate(prepared) if verdict.decision is Decision.UNCERTAIN]
        if waiting:
            for i, verdict in zip(waiting, self._judge([prepared[i] for i in waiting]), strict=True):
                prepared[i] = verdict
        return prepared

    def _prepare(self, source: ImageSource) -> Verdict:
        """Return NO_DECISION, or a verdict that is UNCERTAIN and holds the face, still to be judged."""
        clock = _Clock()
        try:
            image = read_image(source)
            clock.lap("decode image")
            found = find_faces(image, self.find)
            clock.lap("detect")
        except InputError as error:
            return self._unreadable(error)
        return self._prepare_face(image, found, clock)

    def _prepare_face(self, image: np.ndarray, found: list[FoundFace], clock: "_Clock") -> Verdict:
        try:
            aligned = align(image, found[0].landmarks) if found else None
        except InputError as error:
            return self._unreadable(error)
        reasons = tuple(gate(image, found, aligned, self.limits))
        clock.lap("align and gate")
        face = None if aligned is None else as_tensor(aligned, self.detector.config.face_size)
        decision = Decision.NO_DECISION if reasons or face is None else Decision.UNCERTAIN
        return Verdict(decision, None, reasons, None, face, milliseconds=dict(clock.laps), **self._names)

    def _unreadable(self, error: InputError) -> Verdict:
        reason = Reason("unreadable", value=None, limit=None, sentence=str(error))
        return Verdict(Decision.NO_DECISION, reasons=(reason,), **self._names)

    @property
    def _names(self) -> dict:
        """What every verdict says of who judged."""
        return {"weights": self.weights, "profile": None if self.profile is None else self.profile.label}

    @torch.inference_mode()
    def _judge(self, prepared: list[Verdict]) -> list[Verdict]:
        clock = _Clock()
        faces = torch.stack([verdict.face for verdict in prepared if verdict.face is not None])
        liveness, counterparts, cues = self._by_torch(faces, clock) if self.engine is None else self._by_engine(faces)
        clock.lap("detector" if self.engine is None else self.engine_name)
        shares = {name: value / len(prepared) for name, value in clock.laps.items()}
        return [
            self._decided(
                replace(
                    verdict,
                    counterpart=None if counterparts is None else counterparts[i],
                    cue=None if cues is None else cues[i],
                    milliseconds=verdict.milliseconds | shares,
                ),
                liveness[i],
            )
            for i, verdict in enumerate(prepared)
        ]

    def _by_torch(self, faces: torch.Tensor, clock: "_Clock") -> "_Judged":
        counterparts = cues = None
        if self.generator is not None and self.detector.config.uses_cue:
            counterparts = self.generator.counterpart(faces, lap=clock.lap)
            cues = make_cue(faces, counterparts, self.detector.config.cue_form)
        return self.detector.liveness(faces, cues).tolist(), counterparts, cues

    def _by_engine(self, faces: torch.Tensor) -> "_Judged":
        noise, shape = None, self.engine.description["noise"]
        if shape is not None:
            noise = torch.stack([content_noise(face, torch.Size(shape), 0) for face in faces]).numpy()
        found = self.engine(np.stack([as_image(face) for face in faces]), noise)
        made = (None if array is None else torch.from_numpy(array) for array in found[1:])
        return found.liveness.tolist(), *made

    def _decided(self, verdict: Verdict, liveness: float) -> Verdict:
        decision = self.decide(liveness)
        if decision is Decision.NO_DECISION:
            reason = Reason("broken", liveness, None, f"the detector gave {liveness}; restore its weights file.")
            return Verdict(decision, reasons=(reason,), face=verdict.face, **self._names)
        return replace(
            verdict,
            decision=decision,
            liveness=liveness,
            thresholds=self.thresholds,
            engine=self.engine_name,
        )


_Judged = tuple[list[float], torch.Tensor | None, torch.Tensor | None]  # liveness, counterparts, cues


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
    which: str | Path = "small",
    *,
    limits: QualityLimits | None = None,
    find: FindFaces | None = None,
    engine: str | Path | Engine = "auto",
    profile: str | Path | Profile | None = None,
) -> Guard:
    """Return a guard from a preset's name or from a folder with ``detector.safetensors`` and, unless the
    detector takes no cue, ``generator.safetensors``. Missing, truncated and foreign files are ArtefactErrors.
    `find` searches faces in place of the default detector, for example `despoof.faces.detect.yunet(path)`.
    `engine` is "torch", a folder made by `despoof export` from these very weights, or an `Engine`; "auto" is the
    folder that `despoof export` keeps for these weights and the installed runtimes, and torch where there is none.
    `profile` is a file made by `despoof calibrate` with these very weights, whose thresholds then decide.
    """
    if which in PRESETS:
        generator_file, detector_file = (WEIGHTS / f"{part}-{which}.safetensors" for part in ("generator", "detector"))
    elif Path(which).is_dir():
        generator_file, detector_file = (Path(which) / f"{part}.safetensors" for part in ("generator", "detector"))
    else:
        raise ArtefactError(
            f"{which!r} is no preset ({', '.join(PRESETS)}) and no folder of weights. Give one of these."
        )
    detector = load_detector(detector_file)
    weights = {"detector": file_hash(detector_file)}
    generator = None
    if detector.config.uses_cue:
        generator = load_generator(generator_file)
        weights["generator"] = file_hash(generator_file)
        if generator.config.face_size != detector.config.face_size:
            raise ArtefactError(
                f"{generator_file} works at {generator.config.face_size} px, {detector_file} at "
                f"{detector.config.face_size}. Give two files of one preset."
            )
    chosen = engine if isinstance(engine, Engine) else _open(engine, weights)
    if profile is not None and not isinstance(profile, Profile):
        profile = read_profile(profile)
    limits = limits or QualityLimits()
    return Guard(generator, detector, limits=limits, weights=weights, find=find, engine=chosen, profile=profile)


def _open(engine: str | Path, weights: dict[str, str]) -> Engine | None:
    """Return the engine of a folder, or None for torch; a folder that is there and broken is an ArtefactError."""
    folder = usual_folder(weights) if engine == "auto" else None if engine == "torch" else engine
    if folder is None or (engine == "auto" and not Path(folder).exists()):
        return None
    return open_engine(folder, threads=torch.get_num_threads(), weights=weights)
