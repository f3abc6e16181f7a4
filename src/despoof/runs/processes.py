"""One run on one or many processes, by accelerate: each takes its share of a global batch."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from despoof.errors import ConfigError
from despoof.runs.identity import Identity
from despoof.runs.loop import LoopConfig, Stateful, resume, run_loop

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["no", "fp16", "bf16"]


def open_processes(precision: Precision = "no", *, cpu: bool = False) -> "Accelerator":
    """Return the accelerator of this process; alone, or one of those that `torchrun` started."""
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState

    # accelerate keeps the first precision of a process for good; two trainings in one process may differ
    AcceleratorState._reset_state()
    # the others wait while the first process encodes all faces, which may take longer than the usual ten minutes
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    return Accelerator(mixed_precision=precision, cpu=cpu, kwargs_handlers=[patience])


def usual_device() -> torch.device:
    """Return the accelerator of this machine, or its processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def own_share(accelerator: "Accelerator", batch: int, parts: int = 1) -> torch.Tensor:
    """Return this process's items of a global batch: every so manieth, where `parts` must divide them too."""
    world = accelerator.num_processes
    if batch % (world * parts):
        raise ConfigError(
            f"batch {batch} does not divide into {world} processes x {parts} parts. Choose a multiple of these."
        )
    return torch.arange(batch)[accelerator.process_index :: world]


def global_batch(accelerator: "Accelerator", share: torch.Tensor) -> torch.Tensor:
    """Return what the shares (K, ...) of all processes are together, in the batch's order.

    The gradient of a loss that every process computes on it alike, averaged over processes, is that of one process.
    """
    if accelerator.num_processes == 1:
        return share
    from torch.distributed.nn.functional import all_gather

    whole = all_gather(share) if share.requires_grad else accelerator.gather(share).chunk(accelerator.num_processes)
    return torch.stack(list(whole), 1).flatten(0, 1)


def run_together(
    accelerator: "Accelerator",
    folder: str | Path,
    parts: dict[str, Stateful],
    step: Callable[[int], dict[str, float]],
    config: LoopConfig,
    *,
    title: str,
    identity: Identity,
) -> bool:
    """Run or resume a loop; True in the process that may write.

    The first process logs and saves, the others follow: they read its state before any joins a step, and every
    step waits for all gradients.
    """
    if accelerator.is_main_process:
        run_loop(folder, parts, step, config, title=title, identity=identity)
    else:
        for number in range(resume(Path(folder), parts, identity), config.steps):
            step(number)
    accelerator.wait_for_everyone()
    return accelerator.is_main_process
