"""One training loop for every trainer: resume, progress, log, checkpoint.

A step function is given the step's number and must draw everything random from it (`step_rng`), so a
killed run that resumes is the same, bit for bit, as one that was never killed.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from despoof.runs.checkpoint import load_state, save_state
from despoof.runs.folder import atomic_path
from despoof.runs.identity import Identity
from despoof.runs.progress import track
from despoof.runs.seed import content_seed
from despoof.runs.tensorboard import open_board, show


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


def step_rng(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator that belongs to one step of one run."""
    generator = torch.Generator(device=device)
    generator.manual_seed(content_seed(f"{seed}|{step}".encode()))
    return generator


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

    A state of another identity is an ArtefactError, before any of it is taken.
    Each logged line of ``folder/log.jsonl`` is the mean of the values since the last line; TensorBoard, where it is
    installed, shows the same.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    begin = resume(folder, parts, identity)
    log = folder / "log.jsonl"
    _cut_log(log, begin)
    board = open_board(folder, begin) if begin < config.steps else None
    sums: dict[str, float] = {}
    started, counted = time.monotonic(), 0
    for number in track(range(begin, config.steps), title, config.steps - begin):
        for name, value in step(number).items():
            sums[name] = sums.get(name, 0.0) + float(value)
        counted += 1
        last = number + 1 == config.steps
        if (number + 1) % config.log_every == 0 or last:
            means = {name: round(value / counted, 6) for name, value in sums.items()}
            line = {"step": number + 1, **means, "seconds": round(time.monotonic() - started, 1)}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            show(board, line)
            sums, counted = {}, 0
        if (number + 1) % config.save_every == 0 or last:
            states = {name: part.state_dict() for name, part in parts.items()}
            save_state(folder / "state.pt", {"step": number + 1, "parts": states, "identity": identity.as_dict()})


def resume(folder: Path, parts: dict[str, Stateful], identity: Identity) -> int:
    """Give `parts` the state that lies in the folder and return how many steps it has done; 0 without one."""
    state = load_state(folder / "state.pt")
    if state is None:
        return 0
    identity.require(state.get("identity"), folder / "state.pt")
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    return state["step"]


def _cut_log(log: Path, step: int) -> None:
    if not log.exists():
        return
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    with atomic_path(log) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def warm_cosine(optimiser: torch.optim.Optimizer, warm: int, total: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Return a schedule: linear from 0 over `warm` steps, then cosine to 0 at `total`."""

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        progress = min(1.0, (step - warm) / max(1, total - warm))
        return 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress))))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
