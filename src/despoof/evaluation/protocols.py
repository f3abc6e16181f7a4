"""Protocols: declarations of what a model learns from and what it is tested on. They lie in ``protocols.toml``."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

import numpy as np

from despoof.data.sample import Label, Sample, Split
from despoof.data.split import deal_domains
from despoof.errors import ConfigError, InputError
from despoof.faces.store import StoredSample

FORMAT = "despoof-protocols/1"
REGISTRY = Path(__file__).parent / "protocols.toml"
CROSS_FITTED = "cross-fitted"
WORDS = {
    "unit": ("image", "video mean"),
    "selection": ("last step", "source-validation"),
    "simulated": ("none", "recaptures", "all"),
    "threshold": ("sources", CROSS_FITTED),
}
EACH = ("domain", "fold", "pair", "target", "attack_type", "split")
RULES = ("title", "frames", *WORDS, "validation", "learned_subjects", "learned_only")
KEYS = {*RULES, "each", "folds", "domains", "train", "cells", "without", "held_subjects"}


@dataclass(frozen=True)
class Part:
    """Which samples stand on one side. Live belongs to a part whatever its attacks are.

    `domains` are of real captures. A simulated capture belongs to a part by the domain whose pictures were shown, which
    `origins` must name, or the people of a target could be learned from.
    """

    domains: tuple[str, ...]
    attacks: tuple[str, ...] = ()  # these types only; none named: all
    not_attacks: tuple[str, ...] = ()
    splits: tuple[Split, ...] = ()  # none named: all
    origins: tuple[str, ...] = ()

    def holds(self, sample: Sample) -> bool:
        """Say whether a sample belongs to this part."""
        inside = sample.origin in self.origins if sample.simulated else sample.domain in self.domains
        if not inside or (self.splits and sample.split not in self.splits):
            return False
        if sample.label is Label.LIVE:
            return True
        return sample.attack_type not in self.not_attacks and (not self.attacks or sample.attack_type in self.attacks)


@dataclass(frozen=True)
class Cell:
    """One training and one test.

    `validation` None: carved out of `train` by subject. `held_subjects` is the share of subjects that are
    only tested, where both sides share a domain.
    """

    name: str
    train: Part
    test: Part
    validation: Part | None = None
    held_subjects: float = 0.0

    def __post_init__(self) -> None:
        if not self.train.domains or not self.test.domains:
            raise InputError(f"cell {self.name!r} names no domain on one side; expected at least one on each.")
        shared = sorted(set(self.train.domains) & set(self.test.domains))
        apart = self.train.splits and self.test.splits and not set(self.train.splits) & set(self.test.splits)
        if shared and not apart and not self.held_subjects:
            raise InputError(
                f"cell {self.name!r} learns from {shared[0]!r} and is tested on it; expected other domains, other "
                "splits or held_subjects. Take the target out of the sources."
            )

    @property
    def target(self) -> str:
        """Name of what is tested on."""
        return "+".join(self.test.domains)


@dataclass(frozen=True)
class Protocol:
    """A named list of cells and the rules that make figures of it comparable.

    Thresholds come from the validation part of the sources, or, cross-fitted, from the scores of all other cells, in
    which the sources were the target. Then nothing is held out for validation.
    """

    name: str
    cells: tuple[Cell, ...]
    title: str = ""
    frames: str = "any"  # rule by which the frames of a video were taken
    unit: str = "image"
    selection: str = "last step"
    validation: float = 0.15  # share of each source held out, by subject; 0 where thresholds are cross-fitted
    without: dict[str, tuple[Split, ...]] = field(default_factory=dict)
    learned_only: tuple[str, ...] = ()  # domains that are never validated on, such as simulated ones
    learned_subjects: float = 1.0  # share of what is left of each source, by subject, that is learned from
    simulated: str = "none"  # which simulated captures are learned from; nothing is tested on them
    threshold: str = "sources"  # what thresholds of error rates come from

    def __post_init__(self) -> None:
        if not 0 < self.learned_subjects <= 1:
            raise ConfigError(
                f"protocol {self.name!r}: learned_subjects is {self.learned_subjects}; expected above 0 and at most 1."
            )
        for name, allowed in WORDS.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"protocol {self.name!r}: {name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}. "
                    "What looks at the target is no rule of a protocol; reports show it in columns named oracle."
                )
        unvalidated = self.threshold == CROSS_FITTED
        if (self.validation == 0) != unvalidated or (unvalidated and self.selection != "last step"):
            raise ConfigError(
                f"protocol {self.name!r}: validation is {self.validation}, threshold {self.threshold!r}, selection "
                f"{self.selection!r}; expected validation = 0 and the last step where the threshold is "
                f"{CROSS_FITTED!r}, and a share above 0 elsewhere. Correct one of them."
            )

    def uses(self, sample: Sample) -> bool:
        """Say whether a sample is used at all."""
        return sample.split not in self.without.get(sample.domain, ())

    def require_frames(self, rule: str | None) -> None:
        """Raise InputError if frames of videos were taken by another rule than this protocol's; None: no videos."""
        if rule is not None and self.frames not in ("any", rule):
            raise InputError(
                f"the store's frames were taken by {rule!r}; protocol {self.name!r} takes {self.frames!r}. "
                f"Prepare another store with --frames {self.frames}."
            )


def read_protocol(name: str, samples: Iterable[Sample]) -> Protocol:
    """Return a protocol by name, or from a TOML file by path, laid out over the samples at hand."""
    path = Path(name) if name.endswith(".toml") else REGISTRY
    tables = {key: table for key, table in _tables(path).items() if key != "format"}
    key = name if path == REGISTRY else next(iter(tables), "")
    if key not in tables:
        raise InputError(f"protocol {name!r}; expected one of {', '.join(tables)}, or a .toml file. Correct the name.")
    return _protocol(key, tables[key], list(samples))


def leave_one_out(rows: Sequence[StoredSample]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (target, learned from, tested) for each real domain, masks (N,) over the rows; fewer than two is an error.

    As in the protocol of that name, nothing simulated is tested, and recaptures of the target are not learned from.
    """
    samples = [row.sample for row in rows]
    found = []
    for cell in _with_simulated(_one_out(_real_domains(samples)), "recaptures", samples):
        masks = (np.array([part.holds(sample) for sample in samples], bool) for part in (cell.train, cell.test))
        found.append((cell.target, *masks))
    return found


def is_live(rows: Sequence[StoredSample]) -> np.ndarray:
    """Return (N,) bool."""
    return np.array([row.sample.label is Label.LIVE for row in rows], bool)


def _tables(path: Path) -> dict:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"protocols {path} cannot be read ({error}). Expected TOML like the package's own.") from None
    if tables.get("format") != FORMAT:
        raise ConfigError(f"protocols {path}: format {tables.get('format')!r}; expected {FORMAT!r}. Write that line.")
    return tables


def _protocol(name: str, table: dict, samples: list[Sample]) -> Protocol:
    unknown = sorted(set(table) - KEYS)
    if unknown:
        raise ConfigError(f"protocol {name!r}: unknown key {unknown[0]!r}; expected {', '.join(sorted(KEYS))}.")
    try:
        without = {domain: tuple(map(Split, splits)) for domain, splits in table.get("without", {}).items()}
    except ValueError as error:
        raise ConfigError(f"protocol {name!r}: without: {error}; expected {', '.join(Split)}.") from None
    rules = {key: tuple(table[key]) if key == "learned_only" else table[key] for key in RULES if key in table}
    cells = _cells(name, table, samples)
    return Protocol(name, _with_simulated(cells, rules.get("simulated", "none"), samples), without=without, **rules)


def _cells(name: str, table: dict, samples: list[Sample]) -> tuple[Cell, ...]:
    each = table.get("each")
    if each is None:
        if not table.get("cells"):
            raise ConfigError(f"protocol {name!r} has neither `each` nor `cells`; expected one of them.")
        held = table.get("held_subjects", 0.0)
        return tuple(
            Cell(one["name"], Part(tuple(one["train"])), Part(tuple(one["test"])), held_subjects=held)
            for one in table["cells"]
        )
    if each not in EACH:
        raise ConfigError(f"protocol {name!r}: each is {each!r}; expected one of {', '.join(EACH)}.")
    domains = _real_domains(samples, 1) if table["domains"] == ["*"] else _distinct(table["domains"], 1)
    if each == "domain":
        return _one_out(_distinct(domains))
    if each == "fold":
        return _folds(domains, samples, table.get("folds", 0))
    if each == "pair":
        return tuple(Cell(f"{a}-to-{b}", Part((a,)), Part((b,))) for a, b in permutations(_distinct(domains), 2))
    if each == "target":
        return tuple(Cell(f"to-{name}", Part(tuple(table["train"])), Part((name,))) for name in domains)
    if each == "split":
        parts = [Part(domains, splits=(split,)) for split in (Split.TRAIN, Split.TEST, Split.VALIDATION)]
        return (Cell("splits", *parts),)
    return _one_type_out(domains, samples, table.get("held_subjects", 0.0))


def _real_domains(samples: Iterable[Sample], least: int = 2) -> tuple[str, ...]:
    return _distinct(sorted({sample.domain for sample in samples if not sample.simulated}), least)


def _distinct(domains: Sequence[str], least: int = 2) -> tuple[str, ...]:
    if len(set(domains)) != len(domains) or len(domains) < least:
        raise InputError(f"domains {list(domains)}; expected at least {least}, each once. Prepare another domain.")
    return tuple(domains)


def _with_simulated(cells: tuple[Cell, ...], which: str, samples: list[Sample]) -> tuple[Cell, ...]:
    """Return the cells whose sources hold recaptures of their domains too, and for "all" what is of no real domain."""
    if which == "none":
        return cells
    strangers = {sample.origin for sample in samples if sample.simulated} - set(_real_domains(samples, 0))
    more = tuple(sorted(strangers)) if which == "all" else ()
    return tuple(replace(cell, train=replace(cell.train, origins=cell.train.domains + more)) for cell in cells)


def _one_out(domains: tuple[str, ...]) -> tuple[Cell, ...]:
    others = {target: tuple(name for name in domains if name != target) for target in domains}
    return tuple(Cell(f"to-{target}", Part(others[target]), Part((target,))) for target in domains)


def _folds(domains: tuple[str, ...], samples: list[Sample], count: int) -> tuple[Cell, ...]:
    parts = deal_domains([sample for sample in samples if sample.domain in domains], count)
    return tuple(
        Cell(f"fold-{i}", Part(tuple(name for name in domains if name not in part)), Part(part))
        for i, part in enumerate(parts)
    )


def _one_type_out(domains: tuple[str, ...], samples: list[Sample], held: float) -> tuple[Cell, ...]:
    types = sorted({each.attack_type for each in samples if each.label is Label.ATTACK and Part(domains).holds(each)})
    if len(types) < 2:
        raise InputError(f"attack types {types} in {', '.join(domains)}; expected at least two to leave one out.")
    return tuple(
        Cell(f"unseen-{kind}", Part(domains, not_attacks=(kind,)), Part(domains, attacks=(kind,)), held_subjects=held)
        for kind in types
    )
