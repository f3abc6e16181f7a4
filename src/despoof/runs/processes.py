"""Devices, and one run on one or many processes by accelerate: each takes its share of a global batch."""

import os
import re
import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from despoof.errors import ArtefactError, ConfigError
from despoof.runs.folder import read_json
from despoof.runs.identity import Identity
from despoof.runs.loop import LoopConfig, Stateful, claim, resume, run_loop
from despoof.runs.pool import join_ray

if TYPE_CHECKING:
    from accelerate import Accelerator


AGAIN = "Run the same command again: it goes on from the last state that was saved."


def choose_device(name: str | None = None) -> torch.device:
    """Return the device of that name; without one the machine's accelerator, or its processor where it has none."""
    if name is None:
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has one for each kind of absence
        raise ConfigError(f"device {name!r} cannot be used ({error}). Name another, such as cpu.") from None


def open_processes(*, cpu: bool = False) -> "Accelerator":
    """Return the accelerator of this process; alone, or one of those that `torchrun` started.

    It computes in 32 bits: accelerate keeps the first precision of a process for good, so trainers set theirs.
    """
    from accelerate import Accelerator, InitProcessGroupKwargs

    # the others wait while the first process encodes all faces, which may take longer than the default ten minutes
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    return Accelerator(mixed_precision="no", cpu=cpu, kwargs_handlers=[patience])


def claim_together(accelerator: "Accelerator", folder: str | Path, identity: Identity) -> None:
    """Claim a run's folder in the first process; a process that does not see the claim raises ArtefactError.

    State and latents pass from one process to the others through this folder.
    """
    if accelerator.is_main_process:
        claim(folder, identity)
    accelerator.wait_for_everyone()
    path = Path(folder) / "run.json"
    if not path.exists():
        raise ArtefactError(
            f"{path}, which the first process wrote, is not there for process {accelerator.process_index}; expected "
            "a folder that all machines share. Put the run on a shared disk."
        )
    identity.require(read_json(path), path)


def own_share(accelerator: "Accelerator", batch: int, parts: int = 1) -> torch.Tensor:
    """Return this process's shard of a global batch, dealt in turn; `parts` must divide it too."""
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

    The first process logs and saves, the others follow: they read its state before any joins a step, every step waits
    for all gradients, and what is `spread` is put together by all.
    """
    claim_together(accelerator, folder, identity)
    if accelerator.is_main_process:
        run_loop(folder, parts, step, config, title=title, identity=identity)
    else:
        for number in range(resume(Path(folder), parts, identity)[0], config.steps):
            step(number)
            if config.saves(number + 1):
                for part in parts.values():
                    part.state_dict()
    accelerator.wait_for_everyone()
    return accelerator.is_main_process


def lost_process(error: RuntimeError) -> ArtefactError | None:
    """Return what to tell of an error which says that another process of this run is gone; None of any other error.

    Of more than two it cannot be said which, since a closed connection has no number; launchers name it.
    """
    if "RANK" not in os.environ:
        return None
    from torch.distributed import DistError

    if not (isinstance(error, DistError) or "/gloo/" in str(error)):
        return None
    number, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    other = f"process {1 - number}" if count == 2 else f"one of the other {count - 1}"
    said = re.sub(r"^\[.*?\] ", "", str(error)).splitlines()[0].partition(". ")[0]
    return ArtefactError(
        f"process {number} lost {other} ({said}), which was killed, failed or cannot be reached; expected all {count} "
        f"until the end. {AGAIN}"
    )


def spread(accelerator: "Accelerator", network: nn.Module) -> None:
    """Leave every process its part of each parameter (FSDP: `fully_shard`), in place; layers are whole while they work.

    Whole together are the layers that diffusers and accelerate do not split either, `_no_split_modules`.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    together = getattr(network, "_no_split_modules", None) or ()
    for module in reversed(list(network.modules())):  # what lies within comes first
        if module is network or type(module).__name__ in together:
            fully_shard(module, mesh=mesh)


class WholeState:
    """State of a network that was `spread`, or of its optimiser: as one process alone has it, and takes it.

    Every process must ask for it. The first one gets it, in the processor's memory, and the others nothing.
    """

    def __init__(self, network: nn.Module, optimiser: torch.optim.Optimizer | None = None) -> None:
        self.network, self.optimiser = network, optimiser
        self.names = [name for name, _ in network.named_parameters()]

    def state_dict(self) -> dict[str, Any]:
        """Return tensors by their names; of an optimiser, by the numbers of their parameters as torch does it."""
        from torch.distributed.checkpoint import state_dict as by_name

        options = by_name.StateDictOptions(full_state_dict=True, cpu_offload=True)
        if self.optimiser is None:
            return by_name.get_model_state_dict(self.network, options=options)
        found = by_name.get_optimizer_state_dict(self.network, self.optimiser, options=options)
        return _renamed(found, {name: number for number, name in enumerate(self.names)}) if found else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` gave the first process, or what a network or optimiser of one process gave."""
        from torch.distributed.checkpoint import state_dict as by_name

        options = by_name.StateDictOptions(full_state_dict=True)
        if self.optimiser is None:
            by_name.set_model_state_dict(self.network, state, options=options)
        else:
            named = _renamed(state, dict(enumerate(self.names)))
            by_name.set_optimizer_state_dict(self.network, self.optimiser, named, options=options)


def put_together(network: nn.Module, weights: nn.Module) -> None:
    """Undo `spread` in the first process, with the weights of a network that was spread alike; to write, not to train.

    Every process must ask.
    """
    for name, value in WholeState(weights).state_dict().items():
        place, _, last = name.rpartition(".")
        module = network.get_submodule(place)
        setattr(module, last, nn.Parameter(value) if isinstance(getattr(module, last), nn.Parameter) else value)


def _renamed(state: dict[str, Any], names: dict) -> dict[str, Any]:
    groups = [group | {"params": [names[each] for each in group["params"]]} for group in state["param_groups"]]
    return {"state": {names[each]: values for each, values in state["state"].items()}, "param_groups": groups}


def launch_by_ray(
    work: Callable[[], object], processes: int, *, address: str | None = None, gpus: bool = False
) -> None:
    """Call a training in so many processes of a Ray cluster, as `torchrun` would; without an address, of this machine.

    `work` must be found by its module and name, and its folders must lie on a disk that all machines share. What a
    process raised, or that one died, is an ArtefactError; called again, the training goes on.
    """
    try:
        import ray
        from ray.train import RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer
    except ImportError as error:
        raise ConfigError(f"launcher ray: {error}. Run: pip install 'despoof[ray]'") from None
    started = join_ray(address, {"num_cpus": processes + 1}, log_to_driver=True)
    with tempfile.TemporaryDirectory() as storage:  # what Ray itself notes of a run
        scaling = ScalingConfig(num_workers=processes, use_gpu=gpus)
        run = RunConfig(name="despoof", storage_path=storage)
        trainer = TorchTrainer(partial(_in_ray, work, gpus), scaling_config=scaling, run_config=run)
        try:
            trainer.fit()
        except TrainingFailedError as error:
            failed = getattr(error, "worker_failures", {"?": error})
            told = "; ".join(f"process {number}: {_first_line(each)}" for number, each in failed.items())
            raise ArtefactError(f"the training ended early. {told}. {AGAIN}") from error
        finally:
            if started:
                ray.shutdown()


def _first_line(failure: Exception) -> str:
    return str(getattr(failure, "health_check_failure", failure)).partition("\n")[0].removesuffix(".")


def _in_ray(work: Callable[[], object], gpus: bool) -> None:
    if not gpus:
        os.environ["ACCELERATE_USE_CPU"] = "true"
    work()
