"""A denoiser under AdamW: precision, gradient accumulation and processes by accelerate, running mean of weights.

One step is one *global* batch. Its items are dealt to processes in turn and each share is cut into
`accumulation` parts, so the same batch gives the same gradient however it is spread.
"""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from despoof.runs.identity import Identity
from despoof.runs.loop import LoopConfig, warm_cosine
from despoof.runs.processes import Precision, open_processes, own_share, run_together

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel


PartLoss = Callable[[nn.Module, torch.Tensor], torch.Tensor]  # network, items of the batch (K,) -> mean loss


class Fit:
    """Holds what a training run of one network changes; `step` and `run` change it."""

    def __init__(
        self, network: nn.Module, loop: LoopConfig, *, rate: float, average: float, warm: int = 200,
        decay: float = 1e-2, precision: Precision = "bf16", accumulation: int = 1,
    ) -> None:  # fmt: skip
        from diffusers.training_utils import EMAModel

        self.accelerator = open_processes(precision)
        self.loop, self.accumulation = loop, accumulation
        self.network = network.to(self.accelerator.device)
        plain = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
        self.schedule = warm_cosine(plain, warm, loop.steps)
        self.average = EMAModel(network.parameters(), decay=average, use_ema_warmup=True)
        self.average.to(self.accelerator.device)
        self.wrapped, self.optimiser = self.accelerator.prepare(network, plain)

    def share(self, batch: int) -> list[torch.Tensor]:
        """Return this process's items of a global batch, in parts for accumulation."""
        return list(own_share(self.accelerator, batch, self.accumulation).chunk(self.accumulation))

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

    def run(
        self, folder: str | Path, step: Callable[[int], dict[str, float]], *, title: str, identity: Identity
    ) -> bool:
        """Run or resume the loop, leave the running mean in the network; True in the process that may write."""
        writes = run_together(self.accelerator, folder, self.states, step, self.loop, title=title, identity=identity)
        self.average.copy_to(self.network.parameters())
        return writes


class _OnDevice:
    """A running mean whose state, which a checkpoint brings to the processor, goes back to its device."""

    def __init__(self, average: "EMAModel", device: torch.device) -> None:
        self.average, self.device = average, device

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)
        self.average.to(self.device)
