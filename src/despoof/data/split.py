"""Validation carved out of the sources, by subject: no subject of a domain stands on both sides."""

import math
from collections import Counter, defaultdict

from despoof.data.manifest import refuse_shared_subjects
from despoof.data.sample import Label, Sample
from despoof.data.simulation.dataset import RECAPTURED
from despoof.errors import InputError
from despoof.runs.seed import item_rng

FEW_SUBJECTS = 5  # below this, a share of the subjects rounds to none, so one whole subject is held out


def split_by_subject(samples: list[Sample], fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Split samples into (train, validation) so that no subject of a domain stands on both sides.

    Every domain gives about `fraction` of its live and of its attacks. Subjects are drawn in an order that
    depends on the seed and the domain alone, and one is held out if that brings both counts nearer to their
    share; a subject too large for the share therefore stays in training. Recaptures of a domain that is there too go
    with their subject's own captures. A domain of fewer than five
    subjects gives one whole subject that has both classes, however large: in the `webcam` domain of four
    collections that is a sixth to two fifths of it.
    """
    if not 0 < fraction < 1:
        raise InputError(f"validation share {fraction!r}; expected between 0 and 1. Write 15 % as 0.15.")
    domains: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        domains[sample.domain].append(sample)
    followers = [name for name in domains if name.removesuffix(RECAPTURED) in set(domains) - {name}]
    for name in followers:
        del domains[name]
    held = {
        (domain, subject)
        for domain in sorted(domains)
        for subject in _held_out(domain, domains[domain], fraction, seed)
    }
    held |= {(name, subject) for name in followers for domain, subject in held if domain + RECAPTURED == name}
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
    item_rng("split by subject", seed, domain).shuffle(names)
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
