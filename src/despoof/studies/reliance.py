"""Does the verdict depend on the cue? The same faces judged with another cue, and other faces with the same cue.

A detector that uses its cue changes its decision when the cue is another's; one that does not gives the same verdict
with a cue of noise. No weight is trained here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from despoof.cue import cue
from despoof.errors import InputError
from despoof.evaluation.protocols import is_live
from despoof.faces.store import StoredSample
from despoof.pipeline import Guard
from despoof.runs.progress import track
from despoof.runs.seed import item_rng
from despoof.studies.readings import BATCH, pairs
from despoof.studies.tables import Share
from despoof.verdict import decide


class Captures(NamedTuple):
    """Captures with what the detector is given of each: faces and cues, both (N, 3, S, S)."""

    rows: Sequence[StoredSample]
    faces: torch.Tensor
    cues: torch.Tensor

    def other(self, i: int, same_label: bool, rng: np.random.Generator) -> int:
        """Return the place of a random capture of another person with the label of capture `i`, or the opposite."""
        own, samples = self.rows[i].sample, [row.sample for row in self.rows]
        found = [
            j
            for j, each in enumerate(samples)
            if j != i
            and (each.label is own.label) is same_label
            and not (own.subject and (each.domain, each.subject) == (own.domain, own.subject))
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
class Reliance:
    """What one disturbance changed: decisions of all captures, of live and attacks, and the mean size of the change
    of liveness in each."""

    given_instead: str
    decisions_changed: Share
    of_live: Share
    of_attacks: Share
    change_of_liveness: dict[str, float]


def reliance(guard: Guard, rows: Sequence[StoredSample], faces: np.ndarray, *, seed: int = 0) -> list[Reliance]:
    """Judge captures `rows`, faces (N, S, S, 3) uint8, as they are and under each of `DISTURBANCES`.

    What a capture is given depends on the seed, its own path and the captures at hand. Raises InputError for weights
    that take no cue and for captures of one class or person.
    """
    generator, config = guard.engine.generator, guard.engine.config
    if generator is None or not config.uses_cue:
        raise InputError("these weights judge without a cue; expected a detector that takes one. Choose other weights.")
    batches = pairs(faces, config.face_size, generator.counterpart, "counterparts")
    inputs, cues = zip(*((face, cue(face, made, config.cue_form)) for face, made in batches), strict=True)
    captures, live, found = Captures(rows, torch.cat(inputs), torch.cat(cues)), is_live(rows), []
    own = _liveness(guard, captures, lambda c, i, rng: (c.faces[i], c.cues[i]), "as captured", seed)
    for name, given in DISTURBANCES.items():
        other = _liveness(guard, captures, given, name, seed)
        both = zip(own, other, strict=True)
        changed = np.array([decide(a, guard.thresholds) is not decide(b, guard.thresholds) for a, b in both])
        groups = {"all": live | True, "live": live, "attacks": ~live}
        shares = (Share(int(changed[group].sum()), int(group.sum())) for group in groups.values())
        shift = {key: float(np.abs(other - own)[group].mean()) for key, group in groups.items()}
        found.append(Reliance(name, *shares, shift))
    return found


@torch.inference_mode()
def _liveness(guard: Guard, captures: Captures, given: Given, name: str, seed: int) -> np.ndarray:
    parts, places = [], torch.arange(len(captures.rows)).split(BATCH)
    for batch in track(places, name, len(places)):
        inputs = [given(captures, i, item_rng(seed, name, captures.rows[i].sample.path)) for i in batch.tolist()]
        face, cues = (torch.stack(part) for part in zip(*inputs, strict=True))
        parts.append(guard.engine.detector.liveness(face, cues).double().numpy())
    return np.concatenate(parts)
