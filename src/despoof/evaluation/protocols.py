"""Protocols: which domains a model learns from, which one it is tested on, how validation is carved out."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from despoof.data.sample import Label, Sample
from despoof.data.source import refuse_shared_subjects
from despoof.errors import InputError
from despoof.runs.seed import item_generator

FEW_SUBJECTS = 5  # below this, a share of the subjects rounds to none, so one whole subject is held out


@dataclass(frozen=True)
class Cell:
    """One training and one test: domains to learn from, and the domain that training never sees."""

    name: str
    sources: tuple[str, ...]
    target: str

    def __post_init__(self) -> None:
        if not self.sources or self.target in self.sources:
            raise InputError(
                f"cell {self.name!r} learns from {self.sources} and tests on {self.target!r}; expected other "
                "domains as sources. Take the target out of them."
            )


@dataclass(frozen=True)
class Protocol:
    """A named list of cells. `validation` is the share of each source that is held out, by subject."""

    name: str
    cells: tuple[Cell, ...]
    validation: float = 0.15


def leave_one_domain_out(domains: Sequence[str]) -> Protocol:
    """Return the protocol in which each domain in turn is the target and all others are sources."""
    domains = sorted(domains)
    if len(set(domains)) != len(domains) or len(domains) < 2:
        raise InputError(f"domains {domains}; expected at least two, each once. Prepare another domain.")
    cells = [Cell(f"to-{target}", tuple(name for name in domains if name != target), target) for target in domains]
    return Protocol("leave-one-domain-out", tuple(cells))


def split_by_subject(samples: list[Sample], fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Split samples into (train, validation) so that no subject of a domain stands on both sides.

    Every domain gives about `fraction` of its live and of its attacks. Subjects are drawn in an order that
    depends on the seed and the domain alone, and one is held out if that brings both counts nearer to their
    share; a subject too large for the share therefore stays in training. A domain of fewer than five
    subjects gives one whole subject that has both classes, however large: in the `webcam` domain of four
    collections that is a sixth to two fifths of it.
    """
    if not 0 < fraction < 1:
        raise InputError(f"validation share {fraction!r}; expected between 0 and 1. Write 15 % as 0.15.")
    domains: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        domains[sample.domain].append(sample)
    held = {
        (domain, subject)
        for domain in sorted(domains)
        for subject in _held_out(domain, domains[domain], fraction, seed)
    }
    train = [sample for sample in samples if (sample.domain, sample.subject) not in held]
    validation = [sample for sample in samples if (sample.domain, sample.subject) in held]
    refuse_shared_subjects(train, validation)
    return train, validation


def _held_out(domain: str, samples: list[Sample], fraction: float, seed: int) -> set[str]:
    counts: dict[str, Counter[Label]] = defaultdict(Counter)
    for sample in samples:
        counts[sample.subject][sample.label] += 1
    total = sum(counts.values(), Counter())
    names = sorted(counts)
    item_generator("split by subject", seed, domain).shuffle(names)
    pick = _one_whole if len(names) < FEW_SUBJECTS else _near_share
    held = pick(names, counts, total, fraction)
    inside = sum((counts[name] for name in held), Counter())
    if any(not 0 < inside[label] < total[label] for label in total):
        raise InputError(
            f"domain {domain!r} has {len(names)} subjects, of which none can be held out so that each class "
            "stays on both sides. Collect more subjects, or name subjects more finely."
        )
    return held


def _one_whole(names: list[str], counts: dict, total: Counter[Label], fraction: float) -> set[str]:
    whole = [name for name in names if set(counts[name]) == set(total) and counts[name] != total]
    return set(whole[:1])


def _near_share(names: list[str], counts: dict, total: Counter[Label], fraction: float) -> set[str]:
    wanted = {label: fraction * total[label] for label in total}
    inside: Counter[Label] = Counter()
    held = set()
    for name in names:
        after = inside + counts[name]
        if _distance(after, wanted) < _distance(inside, wanted):
            held.add(name)
            inside = after
    return held


def _distance(inside: Counter[Label], wanted: dict[Label, float]) -> float:
    return math.fsum(abs(inside[label] - wanted[label]) / wanted[label] for label in wanted)
