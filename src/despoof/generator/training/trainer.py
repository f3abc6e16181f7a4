"""One network under AdamW: precision, gradient accumulation, processes, running mean of weights, and its run's folder.

One step is one *global* batch. Its items are dealt to processes in turn and each share is cut into
`accumulation` parts, so the same batch gives the same gradient however it is spread.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel

from despoof.generator.config import Training
from despoof.generator.training.cost import arithmetic_rate, with_cost
from despoof.runs.identity import Identity
from despoof.runs.loop import LoopConfig, Stateful, warm_cosine
from despoof.runs.processes import (
    WholeState,
    claim_together,
    open_processes,
    own_share,
    put_together,
    run_together,
    spread,
)

# network, items of the batch (K,) -> their means by name; "loss" is what is minimised
PartLoss = Callable[[nn.Module, torch.Tensor], dict[str, torch.Tensor]]
DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Trainer:
    """Holds what a run changes. Opening one claims the run's folder, and refuses that of another run."""

    def __init__(
        self, network: nn.Module, training: Training, folder: str | Path, identity: Identity, *, fsdp: bool = False
    ) -> None:
        """By `fsdp`, several processes hold a part each of the network and of all that is as large."""
        self.training, self.folder, self.identity = training, Path(folder), identity
        self.processes = open_processes()
        self.device = self.processes.device
        claim_together(self.processes, folder, identity)
        if self.device.type == "cuda" and self.processes.num_processes > 1:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # which a processor cannot
        self.spread = fsdp and self.processes.num_processes > 1
        self.network = network if self.spread else network.to(self.device)
        self.average = None
        if training.average:
            self.average = AveragedModel(network, multi_avg_fn=_warm_average(training.average))
        if self.spread:
            for whole in {network, self._kept}:
                spread(self.processes, whole)
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=training.rate, weight_decay=training.decay)
        self.schedule = warm_cosine(self.optimiser, training.warmup, training.steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=training.precision == "fp16")
        self._wrapped = network if self.spread else self.processes.prepare_model(network)

    def autocast(self) -> AbstractContextManager:
        """Return the context in which a network computes in the training's precision."""
        return torch.autocast(
            self.device.type, DTYPES[self.training.precision], enabled=self.training.precision != "no"
        )

    def _attention(self) -> AbstractContextManager:
        """Return the context in which attention is quick, forward and backward (which may compute forward again).

        On a processor the fused one's backward pass takes a third of a step in 16 bits, eight times as long as in 32.
        """
        plain = self.device.type == "cpu" and self.training.precision != "no"
        return sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()

    def step(self, loss: PartLoss) -> dict[str, float]:
        """Make one optimisation step; return the means over the global batch and the gradient's norm."""
        count = self.training.accumulation
        parts = own_share(self.processes, self.training.batch, count).chunk(count)
        means: dict[str, torch.Tensor] = {}
        self.optimiser.zero_grad()
        for number, part in enumerate(parts, 1):
            apart = nullcontext() if number == count else self.processes.no_sync(self._wrapped)
            with apart, self._attention():
                values = loss(self._wrapped, part)
                self.scaler.scale(values["loss"] / count).backward()
            for name, value in values.items():
                means[name] = means.get(name, 0) + value.detach() / count
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.training.gradient_limit)
        norm = norm.full_tensor() if self.spread else norm
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        means = self.processes.reduce(means, reduction="mean")
        return {name: value.item() for name, value in means.items()} | {"gradient": float(norm)}

    @property
    def states(self) -> dict[str, Stateful]:
        """What a checkpoint holds, alike whether it is spread or not."""
        held: dict[str, Any] = {
            "network": self.network, "optimiser": self.optimiser, "schedule": self.schedule, "scaler": self.scaler,
        }  # fmt: skip
        if self.average is not None:
            held["average"] = self.average
        if self.spread:
            whole = {name: WholeState(held[name]) for name in {"network", "average"} & set(held)}
            held |= whole | {"optimiser": WholeState(self.network, self.optimiser)}
        return held

    @property
    def _kept(self) -> nn.Module:
        return self.network if self.average is None else self.average.module

    def run(self, step: Callable[[int], dict[str, float]], *, title: str) -> bool:
        """Run or resume; True in the process that may write, where the weights to keep are left in the network."""
        loop = LoopConfig(self.training.steps, self.training.save_every, self.training.log_every)
        step = with_cost(step, self.training.batch, arithmetic_rate(self.device, DTYPES[self.training.precision]))
        writes = run_together(self.processes, self.folder, self.states, step, loop, title=title, identity=self.identity)
        if self.spread:
            put_together(self.network, self._kept)
        elif self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())
        return writes


def _warm_average(decay: float) -> Callable:
    """Return the update of a running mean that forgets the start: decay 1 - (1 + n)^(-2/3) until it is `decay`."""

    @torch.no_grad()
    def update(averages: list[torch.Tensor], currents: list[torch.Tensor], count: torch.Tensor) -> None:
        share = 1 - min(decay, 1 - (1 + int(count)) ** (-2 / 3))
        torch._foreach_lerp_(averages, currents, share)

    return update
