"""Training: source domains in, the weights file of a detector out.

A target domain has no way in: what is trained on and what selects are both source data.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from despoof.detector.backbones.weights import load_pretrained
from despoof.detector.batches import Batch, Gathered, Prefetched, check_gathered, draw, make_batch
from despoof.detector.config import DetectorConfig, DetectorTraining
from despoof.detector.network import Detector, DetectorOutput, load_detector, save_detector
from despoof.detector.scoring import fit_calibration, logits, scores
from despoof.detector.techniques import TECHNIQUES
from despoof.detector.techniques.style import mixed_styles
from despoof.detector.techniques.technique import Setting, Technique
from despoof.errors import ConfigError, InputError
from despoof.metrics import auc
from despoof.runs.config import config_hash, to_dict
from despoof.runs.identity import Identity
from despoof.runs.loop import LoopConfig, warm_cosine
from despoof.runs.processes import global_batch, open_processes, own_share, run_together
from despoof.runs.seed import content_seed

__all__ = ["scores", "train"]

FILE = "detector.safetensors"


def train(
    config: DetectorConfig,
    training: DetectorTraining,
    train_set: Gathered,
    validation: Gathered,
    folder: str | Path,
    *,
    device: str | None = None,
    start_from: Path | None = None,
    workers: int = 0,
) -> Path:
    """Train a detector in `folder` and return its file there; go on where an earlier call stopped.

    `validation` is of the source domains too: its AUC selects the step and its logits set the calibration.
    A pretrained start of a backbone other than MobileNetV2 comes from `start_from`: a folder in Hugging Face's layout
    for a transformer, torchvision's file for a ResNet-18. `device` "cpu" keeps off an accelerator that is there;
    `workers` processes make batches ahead, which an accelerator would wait for.

    Under `torchrun` each process takes its share of a batch and the loss is that of the whole, so the result is the
    same but for batch norms: they see their process's share on a CPU, the whole batch on CUDA.
    """
    # Refuse what cannot end well before any work
    technique_kind = _technique(training)
    check_gathered(train_set, config, "the training set")
    check_gathered(validation, config, "the validation set")
    check_classes(train_set, validation)
    path = Path(folder) / FILE
    processes = open_processes(cpu=device == "cpu")
    where = processes.device
    share = own_share(processes, len(draw(train_set, training, 0)))  # refuses a source without live or attack

    # Build
    torch.manual_seed(training.seed if training.start_seed is None else training.start_seed)
    detector = Detector(config)
    if training.start == "imagenet":
        load_pretrained(detector.backbone, config.backbone, start_from)
    detector.to(where, memory_format=torch.channels_last)  # a quarter faster on a CPU than the default format
    if where.type == "cuda" and processes.num_processes > 1:
        detector = torch.nn.SyncBatchNorm.convert_sync_batchnorm(detector)
    domains = len(set(train_set.domain.tolist()))
    technique = technique_kind(Setting(config.embedding, domains, training)).to(where)
    optimiser = _optimiser(detector, technique, training)
    schedule = warm_cosine(optimiser, training.warmup, training.steps)
    average = AveragedModel(detector, multi_avg_fn=get_ema_multi_avg_fn(training.average), use_buffers=True)
    best = _Best()
    wrapped = processes.prepare_model(detector)
    batches = Prefetched(lambda n: make_batch(train_set, config, training, n, share=share), training.steps, workers)

    # One step: batch, losses, update, now and then a look at the validation set
    def step(number: int) -> dict[str, float]:
        seed = content_seed(f"{training.seed}|dropout|{number}".encode())
        torch.manual_seed(seed)
        _train_mode(detector, training)
        batch = _on(batches(number), where)
        autocast = torch.autocast(where.type, torch.bfloat16, enabled=training.precision == "bfloat16")
        with autocast, mixed_styles(detector.backbone, training.style_mixing):
            output = wrapped(batch.face, batch.cue)
        whole = DetectorOutput(*(global_batch(processes, part) for part in output))
        live, domain = (global_batch(processes, part) for part in (batch.live, batch.domain))
        torch.manual_seed(seed + 1)  # a share draws less than the whole; what follows is the same in all processes
        terms = technique(whole, live, domain, number)
        total = torch.stack([term.weight * term.loss for term in terms.values()]).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), training.gradient_limit)
        optimiser.step()
        technique.after_step()
        schedule.step()
        average.update_parameters(detector)
        values = {name: term.loss.item() for name, term in terms.items()}
        if (number + 1) % training.evaluate_every == 0 or number + 1 == training.steps:
            if not processes.is_main_process:
                return values
            values["validation_auc"] = value = _auc(average.module, validation)
            last = training.selection == "last"
            if last or value >= best.auc:  # of equal steps the later one, which has seen more
                best.auc, best.step = value, number + 1
                save_detector(path, average.module, facts={"step": best.step, "validation_auc": value})
        return values

    # Run, or go on
    run = Identity("train detector", {"run": _run_hash(config, training, train_set, validation)})
    parts = {
        "detector": detector,
        "average": average,
        "technique": technique,
        "optimiser": optimiser,
        "schedule": schedule,
        "best": best,
    }
    loop = LoopConfig(training.steps, training.checkpoint_every, 1)
    if run_together(processes, folder, parts, step, loop, title="train detector", identity=run):
        calibrate(path, training, validation, where)
    processes.wait_for_everyone()
    return path


def calibrate(path: Path, training: DetectorTraining, validation: Gathered, device: torch.device | str = "cpu") -> None:
    """Write temperature, offset and how it was trained into a detector's file."""
    chosen = load_detector(path)
    temperature, offset = fit_calibration(logits(chosen.to(device), validation), validation.live)
    facts = {"temperature": temperature, "offset": offset, "training": to_dict(training)}
    save_detector(path, chosen.cpu(), facts=facts)


class _Best:
    """The selected step so far, as a part of the run's state."""

    def __init__(self) -> None:
        self.auc, self.step = -1.0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"auc": self.auc, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.auc, self.step = state["auc"], state["step"]


def _run_hash(config: DetectorConfig, training: DetectorTraining, train_set: Gathered, validation: Gathered) -> str:
    digest = hashlib.blake2b(f"{config_hash(config)}|{config_hash(training)}".encode(), digest_size=6)
    for gathered in (train_set, validation):
        digest.update("\n".join(gathered.keys).encode())
        for array in (gathered.faces, gathered.counterparts, gathered.live, gathered.domain):
            digest.update(b"-" if array is None else array.tobytes())
    return digest.hexdigest()


def check_classes(train_set: Gathered, validation: Gathered) -> None:
    """Raise InputError where a set lacks live or attack, or the two share a sample."""
    _check_both(train_set.live, "the training set")
    _check_both(validation.live, "the validation set")
    shared = set(train_set.keys) & set(validation.keys)
    if shared:
        raise InputError(
            f"{len(shared)} samples, such as {min(shared)}, are in training and validation. Split by subject."
        )


def _check_both(live: Any, name: str) -> None:
    if not live.any() or live.all():
        raise InputError(
            f"{name} has {int(live.sum())} live and {int((~live).sum())} attack samples; "
            "expected some of both. Gather more samples."
        )


def _frozen(detector: Detector, training: DetectorTraining) -> torch.nn.Sequential:
    ends = [0, *(stage.end for stage in detector.backbone.stages)]
    if not 0 <= training.frozen_stages < len(ends):
        raise ConfigError(f"frozen_stages is {training.frozen_stages}; expected 0 to {len(ends) - 1}.")
    end = ends[training.frozen_stages]
    return detector.backbone.features[:end]


def _train_mode(detector: Detector, training: DetectorTraining) -> None:
    detector.train()
    _frozen(detector, training).eval()  # or their batch norms would still drift


def _technique(training: DetectorTraining) -> type[Technique]:
    if training.technique not in TECHNIQUES:
        raise ConfigError(f"technique {training.technique!r}; expected one of {', '.join(TECHNIQUES)}. Name one.")
    return TECHNIQUES[training.technique]


def _optimiser(detector: Detector, technique: Technique, training: DetectorTraining) -> torch.optim.Optimizer:
    """Give pretrained and new parameters their own rate, and no decay to biases and norms."""
    _frozen(detector, training).requires_grad_(False)
    named = [*detector.named_parameters(), *technique.named_parameters()]
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in named:
        pretrained = training.start == "imagenet" and name.startswith("backbone.")
        rate = training.learning_rate if pretrained else training.new_learning_rate
        decay = training.weight_decay if parameter.ndim > 1 else 0.0
        if parameter.requires_grad:
            groups.setdefault((rate, decay), []).append(parameter)
    options = [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]
    if training.optimiser == "sgd":
        return torch.optim.SGD(options, momentum=0.9)
    return torch.optim.AdamW(options)


def _auc(detector: Detector, validation: Gathered) -> float:
    logit = logits(detector, validation)
    return auc(logit[validation.live], logit[~validation.live])


def _on(batch: Batch, device: torch.device) -> Batch:
    def move(images: torch.Tensor | None) -> torch.Tensor | None:
        return None if images is None else images.to(device, memory_format=torch.channels_last)

    return Batch(move(batch.face), move(batch.cue), batch.live.to(device), batch.domain.to(device))  # type: ignore[arg-type]
