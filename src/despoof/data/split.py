"""Who stands on which side: validation carved out of the sources by subject, and folds of whole domains."""

import math
from collections import Counter, defaultdict

from despoof.data.manifest import refuse_shared_subjects
from despoof.data.sample import Label, Person, Sample
from despoof.errors import InputError
from despoof.runs.seed import item_rng

FEW_SUBJECTS = 5  # below this, a share of the subjects rounds to none, so one whole subject is held out


def split_by_subject(samples: list[Sample], fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Split samples into (train, validation) so that no subject of a domain stands on both sides.

    Every domain gives about `fraction` of its live and of its attacks. Subjects are drawn in an order that
    depends on the seed and the domain alone, and one is held out if that brings both counts nearer to their
    share; a subject too large for the share therefore stays in training. Recaptures go with their subject's own
    captures wherever `origin` is among the samples. A domain of fewer than five subjects gives one whole subject
    that has both classes, however large.
    """
    if not 0 < fraction < 1:
        raise InputError(f"validation share {fraction!r}; expected between 0 and 1. Write 15 % as 0.15.")
    real = {sample.domain for sample in samples if not sample.simulated}
    domains: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if not (sample.simulated and sample.origin in real):  # those follow the captures of the same person
            domains[sample.domain].append(sample)
    held = set().union(*(_held_out(domain, domains[domain], fraction, seed) for domain in sorted(domains)))
    train = [sample for sample in samples if sample.person not in held]
    validation = [sample for sample in samples if sample.person in held]
    refuse_shared_subjects(train, validation)
    return train, validation


def deal_domains(samples: list[Sample], folds: int) -> list[tuple[str, ...]]:
    """Deal the domains of real captures into `folds` parts of about as many images; each domain is in one, sorted.

    The largest goes first, each to the part that holds least, so nothing but the counts and the names decides.
    Recaptures belong to no part; whoever holds a domain out holds out what was made of it too (`Sample.origin`).
    """
    counts = Counter(sample.domain for sample in samples if not sample.simulated)
    if not 2 <= folds <= len(counts):
        raise InputError(
            f"{folds} folds over {len(counts)} domains; expected from 2 to as many as there are domains. Name fewer "
            "folds, or give samples of more cameras."
        )
    parts: list[list[str]] = [[] for _ in range(folds)]
    for domain in sorted(counts, key=lambda name: (-counts[name], name)):
        least = min(parts, key=lambda part: (sum(counts[name] for name in part), len(part)))
        least.append(domain)
    return [tuple(sorted(part)) for part in parts]


def _held_out(domain: str, samples: list[Sample], fraction: float, seed: int) -> set[Person]:
    counts: dict[Person, Counter[Label]] = defaultdict(Counter)
    for sample in samples:
        counts[sample.person][sample.label] += 1
    total = sum(counts.values(), Counter())
    people = sorted(counts)
    item_rng("split by subject", seed, domain).shuffle(people)
    pick = _one_whole if len(people) < FEW_SUBJECTS else _near_share
    held = pick(people, counts, total, fraction)
    inside = sum((counts[each] for each in held), Counter())
    if any(not 0 < inside[label] < total[label] for label in total):
        raise InputError(
            f"domain {domain!r} has {len(people)} subjects, of which none can be held out so that each class "
            "stays on both sides. Collect more subjects, or name subjects more finely."
        )
    return held


def _one_whole(people: list[Person], counts: dict, total: Counter[Label], fraction: float) -> set[Person]:
    whole = [each for each in people if set(counts[each]) == set(total) and counts[each] != total]
    return set(whole[:1])


def _near_share(people: list[Person], counts: dict, total: Counter[Label], fraction: float) -> set[Person]:
    wanted = {label: fraction * total[label] for label in total}
    inside: Counter[Label] = Counter()
    held = set()
    for each in people:
        after = inside + counts[each]
        if _distance(after, wanted) < _distance(inside, wanted):
            held.add(each)
            inside = after
    for label in total:  # a class too small for its share still gives one, where it has two
        for each in people if not inside[label] else ():
            after = inside + counts[each]
            if after[label] and all(after[other] < total[other] for other in total):
                held.add(each)
                inside = after
                break
    return held


def _distance(inside: Counter[Label], wanted: dict[Label, float]) -> float:
    return math.fsum(abs(inside[label] - wanted[label]) / wanted[label] for label in wanted)
