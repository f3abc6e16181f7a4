"""Does the verdict depend on the cue? The same faces judged with another cue, and other faces with the same cue.

A detector that uses its cue changes its decision when the cue is another's; one that does not gives the same verdict
with a cue of noise. No weight is trained here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from despoof.cue import cue
from despoof.errors import InputError
from despoof.evaluation.protocols import is_live
from despoof.evaluation.tables import markdown
from despoof.faces.store import StoredSample
from despoof.metrics import Interval, proportion_interval
from despoof.pipeline import Guard
from despoof.runs.progress import track
from despoof.runs.seed import item_rng
from despoof.studies.readings import BATCH, pairs
from despoof.verdict import decide


@dataclass(frozen=True)
class Captures:
    """Captures with what the detector is given of each: faces and cues, both (N, 3, S, S)."""

    rows: Sequence[StoredSample]
    faces: torch.Tensor
    cues: torch.Tensor

    def other(self, i: int, same_label: bool, rng: np.random.Generator) -> int:
        """Return the number of a random capture of another person with the label of capture `i`, or the opposite."""
        own = self.rows[i].sample
        found = [
            j
            for j, row in enumerate(self.rows)
            if j != i
            and (row.sample.label is own.label) is same_label
            and (not own.subject or (row.sample.domain, row.sample.subject) != (own.domain, own.subject))
        ]
        if not found:
            raise InputError(
                f"{own.path}: no capture of another person with {'the same' if same_label else 'the opposite'} label; "
                "expected live and attack captures of several people. Prepare more."
            )
        return found[rng.integers(len(found))]


Given = Callable[[Captures, int, np.random.Generator], tuple[torch.Tensor, torch.Tensor]]  # -> face, cue


def _noise(captures: Captures, i: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """White noise with the mean and deviation of the capture's own cue."""
    own = captures.cues[i]
    noise = torch.from_numpy(rng.standard_normal(own.shape)).float()
    return captures.faces[i], (noise - noise.mean()) / noise.std() * own.std() + own.mean()


DISTURBANCES: dict[str, Given] = {
    "cue of another capture, same label": lambda c, i, rng: (c.faces[i], c.cues[c.other(i, True, rng)]),
    "cue of another capture, opposite label": lambda c, i, rng: (c.faces[i], c.cues[c.other(i, False, rng)]),
    "cue of white noise": _noise,
    "cue of zeros": lambda c, i, rng: (c.faces[i], torch.zeros_like(c.cues[i])),
    "own cue, another face, same label": lambda c, i, rng: (c.faces[c.other(i, True, rng)], c.cues[i]),
    "own cue, another face, opposite label": lambda c, i, rng: (c.faces[c.other(i, False, rng)], c.cues[i]),
}


@dataclass(frozen=True)
class Change:
    """Of `n` verdicts, how many decisions changed, with the exact 95 % interval, and the mean change of liveness."""

    n: int
    changed: int
    interval: Interval
    shift: float

    def __str__(self) -> str:
        low, high = 100 * self.interval.low, 100 * self.interval.high
        return f"{self.changed} of {self.n} ({low:.1f}–{high:.1f} %), {self.shift:.3f}"


@dataclass(frozen=True)
class Reliance:
    """One disturbance: what it changed in all captures, in the live and in the attacks."""

    disturbance: str
    every: Change
    live: Change
    attack: Change


def reliance(guard: Guard, rows: Sequence[StoredSample], faces: np.ndarray, *, seed: int = 0) -> list[Reliance]:
    """Judge captures `rows`, faces (N, S, S, 3) uint8, as they are and under each of `DISTURBANCES`.

    What a capture is given depends on the seed, its own path and the captures at hand. Raises InputError for weights
    that take no cue and for captures of one class or person.
    """
    generator, form = guard.generator, guard.detector.config.cue_form
    if generator is None or not guard.detector.config.uses_cue:
        raise InputError("these weights judge without a cue; expected a detector that takes one. Choose other weights.")
    batches = pairs(faces, guard.detector.config.face_size, generator.counterpart, "counterparts")
    inputs, cues = zip(*((face, cue(face, made, form)) for face, made in batches), strict=True)
    captures = Captures(rows, torch.cat(inputs), torch.cat(cues))
    own = _liveness(guard, captures, lambda c, i, rng: (c.faces[i], c.cues[i]), "as captured", seed)
    found = []
    for name, given in DISTURBANCES.items():
        other = _liveness(guard, captures, given, name, seed)
        both = zip(own, other, strict=True)
        changed = np.array([decide(a, guard.thresholds) is not decide(b, guard.thresholds) for a, b in both])
        shift, live = np.abs(other - own), is_live(rows)
        groups = (np.ones(len(rows), bool), live, ~live)
        found.append(Reliance(name, *(_change(changed[group], shift[group]) for group in groups)))
    return found


def table(found: Sequence[Reliance]) -> str:
    """Return the study as a Markdown table: decisions changed of n (95 %), mean absolute change of liveness."""
    head = ("given instead", "all: decisions changed, mean change of liveness", "live", "attack")
    return markdown(head, [(each.disturbance, each.every, each.live, each.attack) for each in found])


@torch.inference_mode()
def _liveness(guard: Guard, captures: Captures, given: Given, name: str, seed: int) -> np.ndarray:
    parts = []
    places = torch.arange(len(captures.rows)).split(BATCH)
    for batch in track(places, name, len(places)):
        pairs = [given(captures, i, item_rng(seed, name, captures.rows[i].sample.path)) for i in batch.tolist()]
        face, other = (torch.stack(part) for part in zip(*pairs, strict=True))
        parts.append(guard.detector.liveness(face, other).double().numpy())
    return np.concatenate(parts)


def _change(changed: np.ndarray, shift: np.ndarray) -> Change:
    count = int(changed.sum())
    return Change(len(changed), count, proportion_interval(count, len(changed)), float(shift.mean()))
