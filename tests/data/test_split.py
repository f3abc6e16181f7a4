"""No subject on both sides, every domain gives its share, the seed decides: a leak would flatter tables."""

from collections import Counter
from dataclasses import replace

import pytest

from despoof.data.manifest import refuse_shared_subjects
from despoof.data.sample import Label, Sample
from despoof.data.split import deal_domains, split_by_subject
from despoof.errors import InputError


def _samples(domain: str, subjects: dict[str, tuple[int, int]]) -> list[Sample]:
    """Make samples from subject -> (live, attack) counts."""
    return [
        Sample(f"{domain}/{subject}/{label.value}-{i}.jpg", label, species, subject, domain)
        for subject, counts in subjects.items()
        for label, species, count in zip(Label, ("none", "print"), counts, strict=True)
        for i in range(count)
    ]


MANY = _samples("office", {f"s{i}": (1 + i % 4, (i * 7) % 5) for i in range(80)})
FEW = _samples("webcam", {"one": (9, 8), "two": (4, 0), "three": (5, 6), "four": (3, 7)})


@pytest.mark.parametrize("seed", range(8))
def test_split_is_disjoint_complete_and_near_its_share_in_each_class(seed):
    train, validation = split_by_subject(MANY + FEW, 0.2, seed)
    refuse_shared_subjects(train, validation)
    assert Counter(train + validation) == Counter(MANY + FEW)
    for label in Label:
        whole = sum(s.label is label for s in MANY)
        held = sum(s.label is label and s.domain == "office" for s in validation)
        assert 0.15 <= held / whole <= 0.25


@pytest.mark.parametrize("seed", range(8))
def test_a_domain_of_few_subjects_gives_one_whole_subject_with_both_classes(seed):
    train, validation = split_by_subject(FEW, 0.15, seed)
    assert len({s.subject for s in validation}) == 1
    assert {s.label for s in validation} == set(Label)
    assert {s.subject for s in validation} <= {"one", "three", "four"}
    assert len(train) + len(validation) == len(FEW)


def test_the_seed_alone_decides_and_order_does_not():
    first = split_by_subject(MANY, 0.2, 3)[1]
    assert set(split_by_subject(MANY[::-1], 0.2, 3)[1]) == set(first)
    assert set(split_by_subject(MANY, 0.2, 4)[1]) != set(first)
    assert len({split_by_subject(FEW, 0.2, seed)[1][0].subject for seed in range(20)}) == 3


def test_a_domain_splits_alike_whatever_stands_beside_it():
    alone = set(split_by_subject(MANY, 0.2, 0)[1])
    assert alone <= set(split_by_subject(MANY + FEW, 0.2, 0)[1])


def test_a_subject_larger_than_the_share_stays_in_training():
    samples = _samples("office", {"giant": (500, 500)} | {f"s{i}": (2, 2) for i in range(60)})
    for seed in range(5):
        assert "giant" in {s.subject for s in split_by_subject(samples, 0.1, seed)[0]}


@pytest.mark.parametrize("subjects", [{"only": (5, 5)}, {"a": (5, 0), "b": (0, 5)}, {"a": (5, 5), "b": (5, 0)}])
def test_a_domain_that_cannot_be_split_is_refused(subjects):
    with pytest.raises(InputError, match="Collect more subjects"):
        split_by_subject(_samples("tiny", subjects), 0.2, 0)


@pytest.mark.parametrize("seed", range(8))
def test_a_class_too_small_for_its_share_gives_one(seed):
    """Three files of an attack in a folder that names nobody: 15 % of them are less than half a file."""
    alone = {f"live{i}": (1, 0) for i in range(12)} | {f"attack{i}": (0, 1) for i in range(3)}
    _, validation = split_by_subject(_samples("folder", alone), 0.15, seed)
    assert Counter(s.label for s in validation) == {Label.LIVE: 2, Label.ATTACK: 1}


def test_a_domain_of_one_class_is_split_too():
    _, validation = split_by_subject(_samples("faces", {f"s{i}": (1, 0) for i in range(50)}), 0.2, 0)
    assert len(validation) == 10


@pytest.mark.parametrize("fraction", [0, 1, 15])
def test_a_share_outside_0_to_1_is_refused(fraction):
    with pytest.raises(InputError, match=r"0\.15"):
        split_by_subject(MANY, fraction, 0)


@pytest.mark.parametrize("seed", range(4))
def test_recaptures_go_with_their_subjects_own_captures_and_change_no_split(seed):
    """The name of the recaptures' domain says nothing; who holds two sets of them keeps both with the person."""
    told = {"simulated": True, "origin": "office"}
    shown = [replace(s, path=f"{d}/{s.path}", domain=d, **told) for s in MANY if s.label is Label.LIVE for d in "xy"]
    train, validation = split_by_subject(MANY + FEW, 0.2, seed)
    both = split_by_subject(MANY + FEW + shown, 0.2, seed)
    for part, alone in zip(both, (train, validation), strict=True):
        assert [s for s in part if not s.simulated] == alone
        people = {s.subject for s in alone if s.domain == "office"}
        assert {s.subject for s in part if s.simulated} <= people
    assert sum(map(len, both)) == len(MANY + FEW + shown)
    assert {s.domain for s in both[1] if s.simulated} == {"x", "y"}


def test_a_real_domain_whose_name_ends_like_that_of_recaptures_is_split_on_its_own():
    named = [replace(s, domain="office-simulated") for s in MANY]
    _, alone = split_by_subject(named, 0.2, 0)
    _, beside = split_by_subject(MANY + named, 0.2, 0)
    assert [s for s in beside if s.domain == "office-simulated"] == alone
    assert alone


def test_a_person_and_a_recapture_of_the_same_person_are_on_one_side():
    own = [s for s in MANY if s.label is Label.LIVE][:1]
    shown = [replace(own[0], path="shown", domain="x", simulated=True, origin="office")]
    with pytest.raises(InputError, match="both sides"):
        refuse_shared_subjects(own, shown)
    refuse_shared_subjects(own, [replace(shown[0], origin="selfie")])


def _sized(sizes: dict[str, int]) -> list[Sample]:
    return [sample for name, size in sizes.items() for sample in _samples(name, {"one": (size, size)})]


def test_domains_are_dealt_whole_once_each_and_in_parts_of_like_size():
    sizes = {f"cam{i:02d}": 5 + (i * 7) % 11 for i in range(20)} | {"office": 60}
    parts = deal_domains(_sized(sizes), 4)
    assert sorted(name for part in parts for name in part) == sorted(sizes)
    held = sorted(sum(sizes[name] for name in part) for part in parts)
    assert held[-1] - held[0] <= 5  # the smallest domain, which comes last
    assert ("office",) in deal_domains(_sized(sizes), 5)  # nothing is put beside one that is larger than a part
    assert all(list(part) == sorted(part) for part in parts)


def test_the_order_of_samples_and_recaptures_deal_nothing_else():
    samples = _sized({"a": 3, "b": 3, "c": 2, "d": 1})
    shown = [replace(s, path=f"x/{s.path}", domain="x", simulated=True, origin="a") for s in samples[:3]]
    parts = deal_domains(samples, 2)
    assert parts == [("a", "c"), ("b", "d")]
    assert deal_domains(samples[::-1] + shown, 2) == parts


@pytest.mark.parametrize("folds", [0, 1, 5])
def test_folds_that_leave_no_domain_to_learn_from_or_to_test_are_refused(folds):
    with pytest.raises(InputError, match="over 4 domains"):
        deal_domains(_sized({"a": 1, "b": 1, "c": 1, "d": 1}), folds)
