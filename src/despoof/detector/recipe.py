"""Recipe and samples in, a finished detector out: trained or fitted, calibrated once, saved once.

Members are several runs as one detector, the mean of their weights (DiWA, Rame et al., arXiv 2205.09739). They share
their first weights, or their hidden units would not correspond and the mean be none of them. It answers about as the
mean of their answers does, at the price of one.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from despoof.data.split import split_by_subject
from despoof.detector.backbones import BACKBONES
from despoof.detector.batches import Gathered, chosen, gather, gathered_hash, real_places, without_simulated
from despoof.detector.config import DetectorRecipe
from despoof.detector.network import Detector, save_detector
from despoof.detector.probe import fit_probe
from despoof.detector.scoring import fit_calibration, logits
from despoof.detector.train import frozen, settings, start_hash, train
from despoof.errors import ConfigError
from despoof.faces.store import Store
from despoof.metrics import apcer_at_bpcer, auc, bpcer_at_apcer, by_species, ece, eer, proportion_interval
from despoof.runs.config import to_dict
from despoof.runs.folder import read_json
from despoof.runs.identity import Identity, provenance
from despoof.runs.processes import claim_together, open_processes

FILE = "detector.safetensors"
MEMBER_SEEDS = 1000  # from one member's seed to the next, so that seeds 0, 1, 2 share none
HELD_OUT = 0.15  # share of the people that `train_on_store` keeps for validation, as protocols do
POINTS = (0.1, 0.05, 0.01)  # rates of the operating points that a detector's facts tell


def fitted(recipe: DetectorRecipe, changes: dict) -> DetectorRecipe:
    """Return a preset's recipe on the backbone that `changes` name, nested plain values, with the strides that it has.

    What is judged, if statistics are, stays as deep as it was; what looks at the cue is every stage from stride 8 on.
    """
    network = recipe.network
    backbone = changes.get("network", {}).get("backbone", network.backbone)
    if backbone == network.backbone:
        return recipe
    if backbone not in BACKBONES:
        raise ConfigError(f"backbone {backbone!r} is unknown; expected one of {', '.join(BACKBONES)}.")
    with torch.device("meta"):  # for its stages alone
        found = sorted({stage.stride for stage in BACKBONES[backbone]().stages})
    deepest = max(network.statistics, default=found[-1])
    kept = tuple(stride for stride in found if stride <= deepest) or (found[0],)
    statistics = kept if network.statistics else ()
    looking = tuple(stride for stride in kept if stride >= 8) or kept[-1:]
    network = replace(network, backbone=backbone, statistics=statistics, attention_strides=looking)
    return replace(recipe, network=network)


def identity(recipe: DetectorRecipe, seed: int, counterparts: Path | None) -> Identity:
    """Return the recipe's identity, without data; its parents are the generator's name, its step and the start.

    What cannot be built is a ConfigError here, before any work.
    """
    with torch.device("meta"):
        detector = Detector(recipe.network)
    if recipe.training is not None:
        frozen(detector, recipe.training)
    config = to_dict(recipe) | {"seed": seed}
    for name in ("training", "probe"):
        if (part := getattr(recipe, name)) is not None:
            config[name] = settings(part)
    parents = start_hash(recipe.network, recipe.start)
    if recipe.network.uses_cue and counterparts is not None:
        about = read_json(counterparts / "about.json")
        parents |= {name: str(about[name]) for name in ("generator", "start_step", "salt")}
    return Identity("train detector", config, parents=parents)


def train_recipe(
    recipe: DetectorRecipe,
    train_set: Gathered,
    validation: Gathered,
    folder: Path,
    *,
    seed: int = 0,
    counterparts: Path | None = None,
    workers: int = 0,
    known: dict[str, torch.Tensor] | None = None,
) -> Detector:
    """Make a detector, write it to `folder`, and return it in eval mode on the device of this process.

    Real captures of `validation` select the step and give the figures in its facts; calibration and the two
    thresholds of the decision are of its simulated ones too, where there are any: a threshold fixed on the cameras
    that were learned from lies too high for others (docs/log.md). `known` is of a probe: what its backbone has read.
    """
    whole = identity(recipe, seed, counterparts)
    whole = replace(whole, data=gathered_hash(train_set, validation))
    processes = open_processes()
    if recipe.probe is not None or recipe.members + recipe.real_members > 1:
        claim_together(processes, folder, whole)  # a single training claims it by itself
    real = without_simulated(validation)
    if recipe.probe is not None:
        detector = fit_probe(recipe.network, recipe.probe, train_set, real, seed=seed, known=known)
        detector.to(processes.device)
    else:
        options = {"parents": whole.parents, "processes": processes, "workers": workers}
        detector = _trained(recipe, (train_set, real), folder, seed, options)
    if processes.is_main_process:
        liveness = calibrate(detector, validation)
        limits = thresholds(liveness, validation)
        measured = figures(liveness[real_places(validation)], real, limits)
        detector.facts |= {"thresholds": limits, "validation": measured}
        detector.facts |= provenance(whole)
        save_detector(folder / FILE, detector)
    processes.wait_for_everyone()
    return detector


def train_on_store(
    recipe: DetectorRecipe, store: Store, counterparts: Path | None, folder: Path, *, seed: int = 0, workers: int = 0
) -> Detector:
    """Make a detector of all domains of a store, validated on people that it did not learn from."""
    identity(recipe, seed, counterparts)  # refuses what cannot be made before any pixel is read
    rows = store.with_face()
    _, held = split_by_subject([row.sample for row in rows], HELD_OUT, seed)
    keys = {sample.key for sample in held}
    apart = np.array([row.key in keys for row in rows], bool)
    whole = gather(store, rows, recipe.network, counterparts)
    sets = (chosen(whole, np.flatnonzero(mask)) for mask in (~apart, apart))
    return train_recipe(recipe, *sets, folder, seed=seed, counterparts=counterparts, workers=workers)


def calibrate(detector: Detector, validation: Gathered) -> np.ndarray:
    """Set temperature and offset on samples that no weight was trained on; return their liveness (N,) by these."""
    logit = logits(detector, validation)
    temperature, offset = fit_calibration(logit, validation.live)
    detector.facts |= {"temperature": temperature, "offset": offset}
    return detector.calibrated(torch.from_numpy(logit)).numpy()


def merged(members: list[Detector]) -> Detector:
    """Return the mean of the weights of detectors of one config that began alike; counters are the first's."""
    states = [member.state_dict() for member in members]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if first.is_floating_point() else first
        for name, first in states[0].items()
    }
    detector = Detector(members[0].config).eval().to(next(iter(mean.values())).device)
    detector.load_state_dict(mean)
    return detector


def thresholds(liveness: np.ndarray, gathered: Gathered) -> dict[str, float]:
    """Return the two thresholds of the decision from liveness (N,) of validation.

    A face is LIVE from the threshold of equal error, ATTACK below the one where BPCER is at most 5 %, and UNCERTAIN
    between.
    """
    live, attacks = liveness[gathered.live], by_species(liveness[~gathered.live], _species(gathered))
    high = eer(live, liveness[~gathered.live])[1]
    low = min(apcer_at_bpcer(live, attacks, 0.05).threshold, high)
    return {"attack_below": low, "live_from": high}


def figures(liveness: np.ndarray, gathered: Gathered, limits: dict[str, float]) -> dict:
    """Return figures of liveness (N,) at the thresholds, and stricter points of APCER in every species and of BPCER."""
    live, attack = liveness[gathered.live], liveness[~gathered.live]
    attacks = by_species(attack, _species(gathered))
    refused, passed = (live < limits["live_from"]).sum(), (attack >= limits["live_from"]).sum()
    return {
        "live": len(live),
        "attack": len(attack),
        "auc": auc(live, attack),
        "eer": eer(live, attack)[0],
        "ece": ece(live, attack),
        "bpcer_at_live_from": asdict(proportion_interval(int(refused), len(live))),
        "apcer_pooled_at_live_from": asdict(proportion_interval(int(passed), len(attack))),
        **{f"bpcer_at_apcer_{share:g}": asdict(bpcer_at_apcer(live, attacks, share)) for share in POINTS},
        **{f"apcer_at_bpcer_{share:g}": asdict(apcer_at_bpcer(live, attacks, share)) for share in POINTS},
    }


def _trained(
    recipe: DetectorRecipe, sets: tuple[Gathered, Gathered], folder: Path, seed: int, options: dict[str, Any]
) -> Detector:
    """Return the one run, or the mean of the members; each has batches and augmentation of its own."""
    config, training = recipe.network, recipe.training
    assert training is not None
    if recipe.members + recipe.real_members == 1 and recipe.members:
        return train(config, training, *sets, folder, seed=seed, **options)
    made, real = [], without_simulated(sets[0])
    for number in range(recipe.members + recipe.real_members):
        whole = number < recipe.members
        name = f"member-{number}" if whole else f"real-member-{number - recipe.members}"
        own = seed + MEMBER_SEEDS * number
        learned = (sets[0] if whole else real, sets[1])
        made.append(train(config, training, *learned, folder / name, seed=own, start_seed=seed, **options))
    detector = merged(made)
    logit = logits(detector, sets[1])
    live = sets[1].live
    seeds = [seed + MEMBER_SEEDS * number for number in range(len(made))]
    detector.facts = {"members": seeds, "validation_auc": auc(logit[live], logit[~live])}
    return detector


def _species(gathered: Gathered) -> np.ndarray:
    """Return the species (A,) of the attacks."""
    count = int((~gathered.live).sum())
    return np.full(count, "attack") if gathered.species is None else gathered.species[~gathered.live]
