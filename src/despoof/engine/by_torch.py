"""Torch as engine: the reference, on any device, for weights of any kind."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from despoof.cue import cue
from despoof.departure.departure import Departure, departure_of, load_departure
from despoof.detector.config import DetectorConfig
from despoof.detector.network import Detector, load_detector
from despoof.engine.engine import Judged, Lap, Pictures
from despoof.errors import ArtefactError, ConfigError
from despoof.faces.align import as_array, scaled
from despoof.generator.generator import Generator
from despoof.pair import files_of, parents_of, read_generator
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import to_dict


class TorchEngine:
    """See `Engine`. What makes pictures alone is read when they are first asked for: a generator by `maker`, and what
    the map is made by from the file `departure`, where there is one.
    """

    name, precision = "torch", "float32"

    def __init__(
        self, detector: Detector, generator: Generator | None = None, *, weights: dict[str, str] | None = None,
        maker: Callable[[], Generator] | None = None, departure: Path | None = None,
    ) -> None:  # fmt: skip
        self.detector, self._generator, self._maker, self._departure_file = detector, generator, maker, departure
        self.weights = weights or {}

    @property
    def config(self) -> DetectorConfig:
        """The detector's config."""
        return self.detector.config

    @property
    def facts(self) -> dict:
        """The detector's facts."""
        return self.detector.facts

    @property
    def device(self) -> torch.device:
        """Where the networks judge."""
        return next(self.detector.parameters()).device

    @property
    def generator(self) -> Generator | None:
        """What makes counterparts; None where there is none. One that cannot be read is an ArtefactError."""
        if self._generator is None and self._maker is not None:
            self._generator = self._maker().to(self.device)
        return self._generator

    @cached_property
    def departure(self) -> Departure | None:
        """What makes the map; None without its file. One of another backbone or generator is an ArtefactError."""
        file = self._departure_file
        if file is None or not file.is_file():
            return None
        found = load_departure(file, self.detector.backbone)
        measured, own = found.facts.get("parents"), parents_of(self.detector)
        if measured != own:
            raise ArtefactError(
                f"{file} was measured with {measured}; these weights have {own}. Measure it again: despoof train "
                "departure."
            )
        return found.to(self.device)

    @torch.inference_mode()
    def judge(self, faces: np.ndarray, surroundings: np.ndarray | None, lap: Lap) -> Judged:
        """See `Engine`."""
        x = self._on_device(faces)
        around = None if surroundings is None else self._on_device(surroundings)
        if not self.config.uses_cue or (generator := self.generator) is None:
            (liveness, embedding), pictures = self.detector.judged(x, None, around), None
        else:
            made = generator.counterpart(x, lap=lap)
            sound = made.isfinite().flatten(1).all(1)
            made = made.where(sound[:, None, None, None], x)  # of a broken one nothing more is said
            cues = cue(x, made, self.config.cue_form)
            liveness, embedding = self.detector.judged(x, cues, around)
            liveness = liveness.where(sound, torch.nan)
            pictures = self._pictures(x, made, cues)
        found = Judged(liveness.cpu().numpy(), pictures, embedding.cpu().numpy())
        lap("detector")
        return found

    @torch.inference_mode()
    def explain(self, faces: np.ndarray) -> Pictures | None:
        """See `Engine`."""
        if (generator := self.generator) is None:
            return None
        x = self._on_device(faces)
        made = generator.counterpart(x)
        if not made.isfinite().all():
            raise ArtefactError("the generator gave no numbers for a picture. Restore the file of its weights.")
        return self._pictures(x, made, cue(x, made, self.config.cue_form))

    def configs(self) -> dict:
        """See `Engine`."""
        made_by = self.generator
        return {
            "detector": to_dict(self.config),
            "generator": None if made_by is None else to_dict(made_by.config),
        }

    def attention(self, faces: np.ndarray, cues: np.ndarray) -> np.ndarray | None:
        """See `Engine`."""
        x = torch.from_numpy(as_array(faces)).to(self.device)
        found = self.detector.attention_map(x, torch.from_numpy(cues).to(self.device))
        return None if found is None else found.cpu().numpy()

    def _pictures(self, x: torch.Tensor, made: torch.Tensor, cues: torch.Tensor) -> Pictures:
        departs = None if self.departure is None else self.departure(x, made).cpu().numpy()
        return Pictures(made.cpu().numpy(), cues.cpu().numpy(), departs)

    def _on_device(self, pixels: np.ndarray) -> torch.Tensor:
        return scaled(torch.from_numpy(pixels).to(self.device))


def open_torch(which: str | Path, *, device: str = "cpu", threads: int | None = None) -> TorchEngine:
    """Return an engine of the safetensors of a preset or in a folder.

    `threads` are of the processor, for the calling thread. Missing, truncated and foreign files are ArtefactErrors, and
    so is a detector of another generator, see `despoof.pair`.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    generator_file, detector_file = files_of(which)
    detector = load_detector(detector_file)
    weights = {"detector": file_hash(detector_file)}
    generator, maker = None, None
    if detector.config.uses_cue:
        generator = read_generator(generator_file, detector, detector_file)
        weights["generator"] = file_hash(generator_file)
    elif generator_file.exists() or "generator" in parents_of(detector):
        maker = partial(read_generator, generator_file, detector, detector_file)
    try:
        for part in filter(None, (generator, detector)):
            part.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a torch without CUDA
        raise ConfigError(f"device {device!r} cannot be used here ({error}). Leave it out for the processor.") from None
    return TorchEngine(detector, generator, weights=weights, maker=maker, departure=departure_of(detector_file))
