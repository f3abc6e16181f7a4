"""One training loop for every trainer: claim the folder, resume, progress, log, checkpoint.

A step function is given the step's number and must draw everything random from it (`step_rng`), so a
killed run that resumes is the same, bit for bit, as one that was never killed.

    FOLDER/run.json     identity of the one run whose folder this is, written before any work
    FOLDER/log.jsonl    means of what the steps return
    FOLDER/state.pt     training state after the last saved step
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from despoof.runs.checkpoint import load_state, save_state
from despoof.runs.folder import read_json, write_json
from despoof.runs.identity import Identity
from despoof.runs.log import RunLog
from despoof.runs.progress import track
from despoof.runs.seed import content_seed


class Stateful(Protocol):
    """A module, optimiser or average: whatever can say and take its state."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


@dataclass(frozen=True)
class LoopConfig:
    """How long a run is and how often it writes."""

    steps: int
    save_every: int = 250
    log_every: int = 50

    def saves(self, done: int) -> bool:
        """Return whether the state is kept after so many steps."""
        return done % self.save_every == 0 or done == self.steps


def step_rng(seed: int, step: int) -> torch.Generator:
    """Return the random numbers of one step of one run."""
    return torch.Generator().manual_seed(content_seed(f"{seed}|{step}".encode()))


def claim(folder: str | Path, identity: Identity) -> None:
    """Make a folder that of one run; one that another run has claimed is an ArtefactError.

    What a killed writer left half-written there is removed, so it must be `held`.
    """
    path = Path(folder) / "run.json"
    if path.exists():
        identity.require(read_json(path), path)
    else:
        write_json(path, identity.as_dict())
    for left in Path(folder).rglob(".*.tmp"):
        left.unlink(missing_ok=True)


def run_loop(
    folder: str | Path,
    parts: dict[str, Stateful],
    step: Callable[[int], dict[str, float]],
    config: LoopConfig,
    *,
    title: str,
    identity: Identity,
) -> None:
    """Call `step` for every number not yet done, keeping `parts` in ``folder/state.pt``.

    A folder or state of another identity is an ArtefactError, before any of it is taken.
    """
    folder = Path(folder)
    claim(folder, identity)
    begin, logged = resume(folder, parts, identity)
    if begin >= config.steps:
        return
    with closing(RunLog(folder, begin, logged)) as log:
        for done in track(range(begin + 1, config.steps + 1), title, config.steps - begin):
            log.add(step(done - 1))
            if done % config.log_every == 0 or done == config.steps:
                log.write(done)
            if config.saves(done):
                states = {name: part.state_dict() for name, part in parts.items()}
                state = {"step": done, "parts": states, "log": log.state(), "identity": identity.as_dict()}
                save_state(folder / "state.pt", state)


def resume(folder: Path, parts: dict[str, Stateful], identity: Identity) -> tuple[int, dict[str, Any] | None]:
    """Give `parts` the state that lies in the folder; return the steps done, 0 without one, and the log's state."""
    state = load_state(folder / "state.pt")
    if state is None:
        return 0, None
    identity.require(state.get("identity"), folder / "state.pt")
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    return state["step"], state["log"]


def warm_cosine(optimiser: torch.optim.Optimizer, warm: int, total: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Return a schedule: linear from 0 over `warm` steps, then cosine to 0 at `total`."""

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        progress = min(1.0, (step - warm) / max(1, total - warm))
        return 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress))))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
