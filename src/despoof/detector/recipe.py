"""Recipe and samples in, a finished detector out: trained or fitted, calibrated once, saved once.

Members are several runs as one detector, the mean of their weights (DiWA, Rame et al., arXiv 2205.09739). They share
their first weights, or their hidden units would not correspond and the mean be none of them. It answers about as the
mean of their answers does, at the price of one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from despoof.data.sample import Sample
from despoof.data.split import deal_domains, split_by_subject
from despoof.detector.backbones import BACKBONES
from despoof.detector.batches import Gathered, chosen, gather, gathered_hash, real_places, without_simulated
from despoof.detector.config import KINDS, DetectorRecipe
from despoof.detector.frozen.head import fit_head
from despoof.detector.frozen.kernel import fit_kernel
from despoof.detector.frozen.probe import fit_probe
from despoof.detector.frozen.reading import Numbers
from despoof.detector.network import Detector, save_detector
from despoof.detector.points import UnseenLogits, crossed_facts, figures, thresholds
from despoof.detector.scoring import fit_calibration, logits, validation_auc
from despoof.detector.train import check_sets, frozen, settings, start_hash, train
from despoof.errors import ConfigError
from despoof.faces.store import Store
from despoof.runs.config import to_dict
from despoof.runs.folder import alone_in_folder, read_json, write_json
from despoof.runs.identity import Identity, provenance
from despoof.runs.pool import Pool
from despoof.runs.processes import claim_together, open_processes

FILE = "detector.safetensors"
MEMBER_SEEDS = 1000  # from one member's seed to the next, so that seeds 0, 1, 2 share none
HELD_OUT = 0.15  # share of the people that `train_on_store` keeps for validation, as protocols do


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
    for name in KINDS:
        if (part := getattr(recipe, name)) is not None:
            config[name] = settings(part)
    parents = start_hash(recipe.network, recipe.start, recipe.released)
    if recipe.network.uses_cue and counterparts is not None:
        about = read_json(counterparts / "about.json")
        parents |= {name: str(about[name]) for name in ("generator", "start_step", "salt")}
    return Identity("train detector", config, parents=parents)


@alone_in_folder
def train_recipe(
    recipe: DetectorRecipe,
    train_set: Gathered,
    validation: Gathered | None,
    folder: Path,
    *,
    seed: int = 0,
    counterparts: Path | None = None,
    workers: int = 0,
    numbers: Numbers | None = None,
    facts: dict | None = None,
    elsewhere: Callable[[Sequence[int]], None] | None = None,
) -> Detector:
    """Make a detector, write it to `folder`, and return it in eval mode on the device of this process.

    Real captures of `validation` select the step and give the figures in its facts; calibration and the two
    thresholds of the decision are of its simulated ones too, where there are any: a threshold fixed on the cameras
    that were learned from lies too high for others (docs/log.md). Without `validation` there are no figures, the logit
    is liveness as it is, and no thresholds: whoever decides has to set them. `numbers` is of a probe or a head: what
    their frozen networks read before. `facts` are told in the file beside its own. `elsewhere` is given the numbers of
    the members and trains each in its folder; what it leaves is then gone on with here, so it may leave some.
    """
    whole = identity(recipe, seed, counterparts)
    whole = replace(whole, data=gathered_hash(*(each for each in (train_set, validation) if each is not None)))
    processes = open_processes()
    if recipe.training is None or recipe.members + recipe.real_members > 1:
        claim_together(processes, folder, whole)  # a single training claims it by itself
    real = None if validation is None else without_simulated(validation)
    if recipe.training is None:
        check_sets(recipe.network, train_set, real)
        detector = _fitted(recipe, train_set, seed, numbers).to(processes.device)
    else:
        options = {"parents": whole.parents, "processes": processes, "workers": workers}
        if elsewhere is not None and processes.num_processes > 1:
            raise ConfigError(
                f"a pool in {processes.num_processes} processes of a launcher; expected one of them alone."
            )
        if elsewhere is not None:
            elsewhere(range(len(_names(recipe))))
        detector = _trained(recipe, (train_set, real), folder, seed, options)
        numbers = None  # its networks are its own
    if processes.is_main_process:
        if validation is not None:
            liveness = calibrate(detector, validation, numbers)
            limits = thresholds(liveness, validation)
            measured = figures(liveness[real_places(validation)], real, limits)
            detector.facts |= {"thresholds": limits, "validation": measured}
        detector.facts |= provenance(whole) | (facts or {})
        save_detector(folder / FILE, detector)
    processes.wait_for_everyone()
    return detector


def train_on_store(
    recipe: DetectorRecipe,
    store: Store,
    counterparts: Path | None,
    folder: Path,
    *,
    seed: int = 0,
    workers: int = 0,
    scratch: Path | None = None,
    pool: Pool | None = None,
) -> Detector:
    """Make a detector of all domains of a store; `scratch` is of `gather`.

    It is validated on people that it did not learn from; with folds it learns from all, and its calibration and points
    are of detectors made alike that never saw the camera they judge. The workers of a `pool` train members side by
    side, each whole in one of them; they read the store by themselves. What is made is the same.
    """
    if pool is not None and (recipe.training is None or len(_names(recipe)) == 1):
        raise ConfigError(
            f"pool {pool.name} for one training; expected members to share out. Give --members, or no pool."
        )
    identity(recipe, seed, counterparts)  # refuses what cannot be made before any pixel is read
    how = _How(recipe, store.root, counterparts, folder, seed, workers, scratch, torch.get_num_threads())
    sets, facts = _sets(how, store), None
    options: dict[str, Any] = {"seed": seed, "counterparts": counterparts, "workers": workers}
    options["numbers"] = Numbers.of_store(store, scratch)
    if recipe.folds:
        samples = [row.sample for row in store.with_face()]
        facts = crossed_facts(cross_fitted(recipe, samples, sets[0], folder, **options))
    elsewhere = None
    if pool is not None and (pool.workers > 1 or pool.name != "local"):
        elsewhere = partial(_share_out, pool, how.absolute())
    return train_recipe(recipe, *sets, folder, facts=facts, elsewhere=elsewhere, **options)


class _How(NamedTuple):
    """What a process needs to train members, see `train_on_store`."""

    recipe: DetectorRecipe
    store: Any  # where it lies
    counterparts: Path | None
    folder: Path
    seed: int
    workers: int
    scratch: Path | None
    threads: int

    def absolute(self) -> "_How":
        """Return the same for processes that have another working folder."""
        return _How(*(each.absolute() if isinstance(each, Path) else each for each in self))


def _sets(how: _How, store: Store) -> tuple[Gathered, Gathered | None]:
    """Return what is learned from, and the people held out; None with folds."""
    rows = store.with_face()
    whole = gather(store, rows, how.recipe.network, how.counterparts, how.scratch)
    if how.recipe.folds:
        return whole, None
    _, held = split_by_subject([row.sample for row in rows], HELD_OUT, how.seed)
    keys = {sample.key for sample in held}
    apart = np.array([row.key in keys for row in rows], bool)
    return chosen(whole, np.flatnonzero(~apart)), chosen(whole, np.flatnonzero(apart))


def _share_out(pool: Pool, how: _How, numbers: Sequence[int]) -> None:
    pool.run(partial(_one, how), numbers, title="train members")


_read: dict[str, tuple[Gathered, Gathered | None]] = {}  # of a worker, by what asked for it


def _one(how: _How, number: int) -> None:
    """Train one member in this process, and leave it in its folder."""
    torch.set_num_threads(how.threads)
    if (key := repr(how)) not in _read:
        train_set, validation = _sets(how, Store(how.store))
        _read[key] = train_set, None if validation is None else without_simulated(validation)
    parents = identity(how.recipe, how.seed, how.counterparts).parents
    options = {"parents": parents, "processes": open_processes(), "workers": how.workers}
    _member(how.recipe, _read[key], how.folder, number, seed=how.seed, **options)


def cross_fitted(
    recipe: DetectorRecipe, samples: list[Sample], whole: Gathered, folder: Path, **options: Any
) -> UnseenLogits:
    """Judge each camera's real captures by a detector that learned from the other folds' cameras alone.

    Recaptures of a camera's pictures are held out with it. A fold's logits stay in `folder`, and are not made again.
    `options` are of `train_recipe`.
    """
    real = np.array([not sample.simulated for sample in samples])
    camera = np.array([sample.domain for sample in samples])
    origin = np.array([sample.origin if sample.simulated else sample.domain for sample in samples])
    logit, fold = np.full(len(samples), np.nan), np.zeros(len(samples), int)
    for number, held in enumerate(deal_domains(samples, recipe.folds)):
        judged = np.flatnonzero(real & np.isin(camera, held))
        sets = chosen(whole, np.flatnonzero(~np.isin(origin, held))), chosen(whole, judged)
        logit[judged] = _fold(replace(recipe, folds=0), sets, folder / f"fold-{number}", **options)
        fold[judged] = number
    person = np.array([sample.subject for sample in samples])
    species = np.array([sample.attack_type for sample in samples])
    return UnseenLogits(*(part[real] for part in (logit, whole.live, camera, person, species, fold)))


@alone_in_folder
def _fold(recipe: DetectorRecipe, sets: tuple[Gathered, Gathered], folder: Path, **options: Any) -> np.ndarray:
    """Return the logits (N,) of the second set by a detector of the first."""
    path = folder / "logits.json"
    whole = identity(recipe, options["seed"], options["counterparts"])
    whole = replace(whole, task="judge a fold", data=gathered_hash(*sets))
    if path.exists():
        held = read_json(path)
        whole.require(held.get("identity"), path)
        return np.array([held["logits"][key] for key in sets[1].keys])  # noqa: SIM118 (no dict)
    detector = train_recipe(recipe, sets[0], None, folder, **options)
    logit = logits(detector, sets[1], numbers=options["numbers"] if recipe.training is None else None)
    if open_processes().is_main_process:
        told = dict(zip(sets[1].keys, logit.tolist(), strict=True))
        write_json(path, {"identity": whole.as_dict(), "logits": told})
    return logit


def calibrate(detector: Detector, validation: Gathered, numbers: Numbers | None = None) -> np.ndarray:
    """Set temperature and offset on samples that no weight was trained on; return their liveness (N,) by these."""
    logit = logits(detector, validation, numbers=numbers)
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


def _fitted(recipe: DetectorRecipe, train_set: Gathered, seed: int, numbers: Numbers | None) -> Detector:
    """Return frozen networks with a probe, a kernel or a head."""
    if recipe.probe is not None:
        return fit_probe(recipe.network, recipe.probe, train_set, seed=seed, numbers=numbers)
    if recipe.kernel is not None:
        return fit_kernel(recipe.network, recipe.kernel, train_set, seed=seed, numbers=numbers)
    return fit_head(recipe.network, recipe.head, train_set, seed=seed, numbers=numbers)


def _trained(
    recipe: DetectorRecipe, sets: tuple[Gathered, Gathered | None], folder: Path, seed: int, options: dict[str, Any]
) -> Detector:
    """Return the one run, or the mean of the members; each has batches and augmentation of its own."""
    config, training = recipe.network, recipe.training
    assert training is not None
    if recipe.members + recipe.real_members == 1 and recipe.members:
        return train(config, training, *sets, folder, seed=seed, **options)
    members = range(len(_names(recipe)))
    made = [_member(recipe, sets, folder, number, seed=seed, **options) for number in members]
    detector = merged(made)
    detector.facts = {"members": [seed + MEMBER_SEEDS * number for number in members]}
    if sets[1] is not None:
        detector.facts["validation_auc"] = validation_auc(detector, sets[1])
    return detector


def _names(recipe: DetectorRecipe) -> list[str]:
    """Return the folders of the members."""
    return [f"member-{n}" for n in range(recipe.members)] + [f"real-member-{n}" for n in range(recipe.real_members)]


def _member(
    recipe: DetectorRecipe, sets: tuple[Gathered, Gathered | None], folder: Path, number: int, *, seed: int,
    **options: Any,
) -> Detector:  # fmt: skip
    """Train one of the members, or go on with it; `seed` is the run's."""
    learned = sets[0] if number < recipe.members else without_simulated(sets[0])
    own = seed + MEMBER_SEEDS * number
    return train(
        recipe.network, recipe.training, learned, sets[1], folder / _names(recipe)[number], seed=own, start_seed=seed,
        **options,
    )  # fmt: skip
