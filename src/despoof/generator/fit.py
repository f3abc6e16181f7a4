"""A denoiser under AdamW: precision, gradient accumulation and processes by accelerate, running mean of weights.

One step is one *global* batch. Its items are dealt to processes in turn and each share is cut into
`accumulation` parts, so the same batch gives the same gradient however it is spread.
"""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from despoof.errors import ConfigError
from despoof.runs.checkpoint import load_state
from despoof.runs.loop import LoopConfig, run_loop, warm_cosine

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers.training_utils import EMAModel

Precision = Literal["no", "fp16", "bf16"]
PartLoss = Callable[[nn.Module, torch.Tensor], torch.Tensor]  # network, items of the batch (K,) -> mean loss


class Fit:
    """Holds what a training run of one network changes; `step` and `run` change it."""

    def __init__(
        self, network: nn.Module, loop: LoopConfig, *, rate: float, average: float, warm: int = 200,
        decay: float = 1e-2, precision: Precision = "bf16", accumulation: int = 1,
    ) -> None:  # fmt: skip
        from diffusers.training_utils import EMAModel

        self.accelerator = _accelerator(precision)
        self.loop, self.accumulation = loop, accumulation
        self.network = network.to(self.accelerator.device)
        plain = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
        self.schedule = warm_cosine(plain, warm, loop.steps)
        self.average = EMAModel(network.parameters(), decay=average, use_ema_warmup=True)
        self.average.to(self.accelerator.device)
        self.wrapped, self.optimiser = self.accelerator.prepare(network, plain)

    def share(self, batch: int) -> list[torch.Tensor]:
        """Return this process's items of a global batch, in parts for accumulation."""
        world = self.accelerator.num_processes
        if batch % (world * self.accumulation):
            raise ConfigError(
                f"batch {batch} does not divide into {world} processes x {self.accumulation} parts. "
                "Choose a multiple of these."
            )
        own = torch.arange(batch)[self.accelerator.process_index :: world]
        return list(own.chunk(self.accumulation))

    def step(self, batch: int, loss: PartLoss) -> dict[str, float]:
        """Make one optimisation step; return the mean loss of the global batch and the gradient's norm."""
        parts, total = self.share(batch), 0.0
        self.optimiser.zero_grad()
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                value = loss(self.wrapped, part) / len(parts)
                self.accelerator.backward(value)
            total = total + value.detach()
        norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.average.step(self.network.parameters())
        mean = self.accelerator.reduce(total, reduction="mean")
        return {"loss": mean.item(), "gradient": float(norm)}

    @property
    def states(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        average = _OnDevice(self.average, self.accelerator.device)
        held = {
            "denoiser": self.network, "optimiser": self.optimiser, "schedule": self.schedule, "average": average,
        }  # fmt: skip
        return held if self.accelerator.scaler is None else held | {"scaler": self.accelerator.scaler}

    def run(self, folder: str | Path, step: Callable[[int], dict[str, float]], *, title: str) -> bool:
        """Run or resume the loop, leave the running mean in the network; True in the process that may write.

        The first process logs and saves, the others follow: they read its state before any joins a step,
        and every step waits for all gradients.
        """
        writes = self.accelerator.is_main_process
        if writes:
            run_loop(folder, self.states, step, self.loop, title=title)
        else:
            self._follow(Path(folder), step)
        self.accelerator.wait_for_everyone()
        self.average.copy_to(self.network.parameters())
        return writes

    def _follow(self, folder: Path, step: Callable[[int], dict[str, float]]) -> None:
        state = load_state(folder / "state.pt") or {"step": 0, "parts": {}}
        for name in state["parts"]:
            self.states[name].load_state_dict(state["parts"][name])
        for number in range(state["step"], self.loop.steps):
            step(number)


class _OnDevice:
    """A running mean whose state, which a checkpoint brings to the processor, goes back to its device."""

    def __init__(self, average: "EMAModel", device: torch.device) -> None:
        self.average, self.device = average, device

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)
        self.average.to(self.device)


def _accelerator(precision: Precision) -> "Accelerator":
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState

    # accelerate keeps the first precision of a process for good; two trainings in one process may differ
    AcceleratorState._reset_state()
    # the others wait while the first process encodes all faces, which may take longer than the usual ten minutes
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    return Accelerator(mixed_precision=precision, kwargs_handlers=[patience])
