"""Training: source domains in, a detector out, not calibrated yet.

A target domain has no way in: what is trained on and what selects are both source data.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from despoof.detector.backbones.backbone import path_hash
from despoof.detector.batches import Batch, Gathered, Prefetched, check_gathered, draw, gathered_hash, make_batch
from despoof.detector.config import DetectorConfig, DetectorTraining
from despoof.detector.network import Detector, DetectorOutput
from despoof.detector.scoring import validation_auc
from despoof.detector.techniques import technique as find_technique
from despoof.detector.techniques.style import mixed_styles
from despoof.detector.techniques.technique import Setting, Technique
from despoof.errors import ConfigError, InputError
from despoof.runs.config import to_dict
from despoof.runs.folder import alone_in_folder
from despoof.runs.identity import Identity
from despoof.runs.loop import LoopConfig, warm_cosine
from despoof.runs.processes import global_batch, open_processes, own_share, run_together
from despoof.runs.seed import content_seed

if TYPE_CHECKING:
    from accelerate import Accelerator

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),  # as AG-FAS was trained
}


@alone_in_folder
def train(
    config: DetectorConfig,
    training: DetectorTraining,
    train_set: Gathered,
    validation: Gathered | None,
    folder: str | Path,
    *,
    seed: int = 0,
    start_seed: int | None = None,
    parents: dict[str, str] | None = None,
    processes: "Accelerator | None" = None,
    workers: int = 0,
) -> Detector:
    """Train a detector in `folder`, or go on where an earlier call stopped; return it in eval mode on its device.

    `validation` is of the source domains too: its AUC selects the step; without it the last is kept. `seed` is of
    batches and of the first weights, unless those have their own, `start_seed`. `parents` names what made the
    counterparts. `workers` processes make batches ahead, which an accelerator would wait for.

    Under `torchrun` each process takes its share of a batch and the loss is that of the whole, so the result is the
    same but for batch norms: they see their process's share on a CPU, the whole batch on CUDA.
    """
    # Refuse what cannot end well before any work
    technique_kind, options = find_technique(training.technique)
    check_sets(config, train_set, validation)
    if validation is None and training.selection == "validation":
        raise InputError(
            'selection "validation" without a validation set; expected one, or "last". Name the last step.'
        )
    processes = processes or open_processes()
    where = processes.device
    count = training.accumulation
    whole_batch = len(draw(train_set, training, 0, seed))  # refuses a source without live or attack
    share = _share(processes, whole_batch, count)
    run_config = {"network": to_dict(config), "training": settings(training), "seeds": [seed, start_seed]}
    parents = (parents or {}) | start_hash(config, training.start)
    run = Identity("train detector", run_config, gathered_hash(*_given(train_set, validation)), parents)

    # Build
    torch.manual_seed(seed if start_seed is None else start_seed)
    detector = started(config, training.start)
    detector.to(where, memory_format=torch.channels_last)  # a quarter faster on a CPU than the default format
    if where.type == "cuda" and processes.num_processes > 1:
        detector = torch.nn.SyncBatchNorm.convert_sync_batchnorm(detector)
    domains = len(set(train_set.domain.tolist()))
    technique = technique_kind(Setting(config.embedding, domains, training.steps, options)).to(where)
    optimiser = _optimiser(detector, technique, training)
    schedule = warm_cosine(optimiser, training.optimiser.warmup, training.steps)
    average = AveragedModel(detector, multi_avg_fn=get_ema_multi_avg_fn(training.average), use_buffers=True)
    best = _Best()
    wrapped = processes.prepare_model(detector)
    make = partial(make_batch, train_set, config, training, seed=seed, share=share)
    batches = Prefetched(make, training.steps, workers)

    # One step: batch, losses, update, now and then a look at the validation set
    def step(number: int) -> dict[str, float]:
        step_seed, values = content_seed(f"{seed}|dropout|{number}".encode()), dict[str, float]()
        _train_mode(detector, training)
        optimiser.zero_grad(set_to_none=True)
        for place, batch in enumerate(_parts(_on(batches(number), where), count)):
            torch.manual_seed(step_seed + 2 * place)
            autocast = torch.autocast(where.type, torch.bfloat16, enabled=training.precision == "bfloat16")
            with nullcontext() if place + 1 == count else processes.no_sync(wrapped):
                with autocast, mixed_styles(detector.backbone, training.style_mixing):
                    output = wrapped(batch.face, batch.cue)
                whole = DetectorOutput(*(global_batch(processes, part) for part in output))
                live, domain = (global_batch(processes, part) for part in (batch.live, batch.domain))
                torch.manual_seed(step_seed + 2 * place + 1)  # a share draws less than the whole
                terms = technique(whole, live, domain, number)
                total = torch.stack([term.weight * term.loss for term in terms.values()]).sum()
                (total / count).backward()
            for name, term in terms.items():
                values[name] = values.get(name, 0.0) + term.loss.item() / count
        torch.nn.utils.clip_grad_norm_(detector.parameters(), training.optimiser.gradient_limit)
        optimiser.step()
        technique.after_step()
        schedule.step()
        average.update_parameters(detector)
        ends = (number + 1) % training.evaluate_every == 0 or number + 1 == training.steps
        if ends and validation is not None and processes.is_main_process:
            values["validation_auc"] = value = validation_auc(average.module, validation)
            best.offer(value, number + 1, average.module, always=training.selection == "last")
        return values

    # Run, or go on
    parts = {
        "detector": detector, "average": average, "technique": technique, "optimiser": optimiser, "schedule": schedule,
        "best": best,
    }  # fmt: skip
    loop = LoopConfig(training.steps, training.checkpoint_every, 1)
    run_together(processes, folder, parts, step, loop, title="train detector", identity=run)
    selected = {"step": training.steps} if validation is None else {"step": best.step, "validation_auc": best.auc}
    found = Detector(config, selected)
    found.load_state_dict(best.weights or average.module.state_dict())
    return found.eval().to(where)


def started(config: DetectorConfig, start: str, released: str = "random") -> Detector:
    """Return a detector whose networks start from random weights, or from those that others released.

    `start` is of its backbone, and of branches that are one; `released` the folder of the files of others.
    """
    detector = Detector(config)
    if start != "random":
        detector.backbone.load_released(start)
    for name in config.branches:
        branch = detector.branches[name]
        if (path := branch.source(start, released)) is not None:
            branch.load(path, start)
    return detector


def start_hash(config: DetectorConfig, start: str, released: str = "random") -> dict[str, str]:
    """Return the hash of the weights that networks start from, under their roles; nothing for random ones."""
    with torch.device("meta"):
        detector = Detector(config)
    found = {} if start == "random" else {"start": path_hash(detector.backbone.released_path(start))}
    sources = {name: detector.branches[name].source(start, released) for name in config.branches}
    return found | {name: path_hash(path) for name, path in sources.items() if path is not None}


def settings(training: Any) -> dict:
    """Return all that a training or a fit is, for its identity: a technique's options in full, no place of weights."""
    values = to_dict(training)
    for name in {"start", "released"} & set(values):
        values[name] = "random" if values[name] == "random" else "weights"
    if hasattr(training, "optimiser") and training.optimiser.name not in OPTIMISERS:
        known = ", ".join(OPTIMISERS)
        raise ConfigError(f"optimiser {training.optimiser.name!r}; expected one of {known}. Name one.")
    if isinstance(training, DetectorTraining):
        values["technique"]["options"] = to_dict(find_technique(training.technique)[1])
    return values


def check_sets(config: DetectorConfig, train_set: Gathered, validation: Gathered | None = None) -> None:
    """Raise InputError where a set does not fit the config or lacks a class, or the two share a sample."""
    names = ("the training set", "the validation set")
    for gathered, name in zip(_given(train_set, validation), names, strict=False):
        check_gathered(gathered, config, name)
        live = int(gathered.live.sum())
        if live in (0, len(gathered.live)):
            raise InputError(
                f"{name} has {live} live and {len(gathered.live) - live} attack samples; "
                "expected some of both. Gather more samples."
            )
    shared = set(train_set.keys) & set(validation.keys if validation is not None else ())
    if shared:
        raise InputError(
            f"{len(shared)} samples, such as {min(shared)}, are in training and validation. Split by subject."
        )


def _given(*sets: Gathered | None) -> list[Gathered]:
    return [each for each in sets if each is not None]


class _Best:
    """The selected step so far and its weights, as a part of the run's state; the main process's alone."""

    def __init__(self) -> None:
        self.auc, self.step = -1.0, 0
        self.weights: dict[str, torch.Tensor] = {}

    def offer(self, value: float, step: int, detector: torch.nn.Module, *, always: bool) -> None:
        if always or value >= self.auc:  # of equal steps the later one, which has seen more
            self.auc, self.step = value, step
            self.weights = {} if always else {name: t.clone() for name, t in detector.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def frozen(detector: Detector, training: DetectorTraining) -> torch.nn.Sequential:
    """Return the stages that are kept as they are; more than the backbone has are a ConfigError."""
    ends = [0, *(stage.end for stage in detector.backbone.stages)]
    if not 0 <= training.frozen_stages < len(ends):
        raise ConfigError(f"frozen_stages is {training.frozen_stages}; expected 0 to {len(ends) - 1}.")
    end = ends[training.frozen_stages]
    return detector.backbone.features[:end]


def _train_mode(detector: Detector, training: DetectorTraining) -> None:
    detector.train()
    frozen(detector, training).eval()  # or their batch norms would still drift


def _optimiser(detector: Detector, technique: Technique, training: DetectorTraining) -> torch.optim.Optimizer:
    """Give pretrained and new parameters their own rate, and no decay to biases and norms."""
    rates = training.optimiser
    frozen(detector, training).requires_grad_(False)
    entry = _entry_of_cue(detector, training)
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in [*detector.named_parameters(), *technique.named_parameters()]:
        pretrained = training.start != "random" and name.startswith("backbone.") and parameter is not entry
        rate = rates.learning_rate if pretrained else rates.new_learning_rate
        decay = rates.weight_decay if parameter.ndim > 1 and parameter is not entry else 0.0
        if parameter.requires_grad:
            groups.setdefault((rate, decay), []).append(parameter)
    options = [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]
    return OPTIMISERS[rates.name](options)


def _entry_of_cue(detector: Detector, training: DetectorTraining) -> torch.nn.Parameter | None:
    """Return the first convolution's weight where it is frozen but for the cue's channels, which start at zero.

    Were these frozen too, the cue would never be heard. A gradient of zero, and no decay, leave the face's alone.
    """
    if detector.config.insertion != "concat" or not training.frozen_stages:
        return None
    weight = detector.backbone.first.weight.requires_grad_(True)
    mask = torch.zeros_like(weight)
    mask[:, 3:] = 1
    weight.register_hook(lambda gradient: gradient * mask)
    return weight


def _share(processes: "Accelerator", batch: int, parts: int) -> torch.Tensor:
    """Return this process's share of a batch, part after part; what a part is does not depend on how many share it."""
    own_share(processes, batch, parts)  # refuses what does not divide
    dealt = torch.arange(batch).unflatten(0, (-1, parts)).T  # a batch is sorted by domain and class
    return dealt[:, processes.process_index :: processes.num_processes].flatten()


def _parts(batch: Batch, count: int) -> list[Batch]:
    cut = [[None] * count if each is None else each.chunk(count) for each in batch]
    return [Batch(*part) for part in zip(*cut, strict=True)]


def _on(batch: Batch, device: torch.device) -> Batch:
    def move(images: torch.Tensor | None) -> torch.Tensor | None:
        return None if images is None else images.to(device, memory_format=torch.channels_last)

    return Batch(move(batch.face), move(batch.cue), batch.live.to(device), batch.domain.to(device))  # type: ignore[arg-type]
