"""Each outcome by recordings made by hand, where a count on paper says which it must be."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.evaluation.measure import Judged
from despoof.qualification import page
from despoof.qualification.figures import Outcome, links, outcome, overlap, qualification
from despoof.qualification.page import link_lines, verdict_lines
from despoof.qualification.targets import Target
from despoof.verdict import Decision, decide

THRESHOLDS = (0.3, 0.6)
TARGET = Target("t", 0.15, 0.1, "made up")
GUARD = SimpleNamespace(
    thresholds=THRESHOLDS, clip_thresholds=THRESHOLDS, weights={"detector": "d0"}, engine_name="onnx", profile=None,
    point="balanced",
)  # fmt: skip


def shown(liveness: list, species: str = "", *, suffix: str = "png", person: str | None = None) -> list[Judged]:
    """Presentations of live, or of a species, one person each; None is a non-response."""
    label, kind = (Label.ATTACK, species) if species else (Label.LIVE, "none")
    rows = []
    for i, value in enumerate(liveness):
        sample = Sample(f"{species or 'live'}-{i}.{suffix}", label, kind, person or f"s{i}")
        decision = Decision.NO_DECISION if value is None else decide(value, THRESHOLDS)
        rows.append(Judged(sample, decision, value, ("no_face",) if value is None else ()))
    return rows


def judged(*groups: list[Judged], target: Target = TARGET) -> dict:
    (found,) = (values := qualification(GUARD, [each for group in groups for each in group], [target], rounds=10))[
        "targets"
    ]
    return found | {"values": values}


def parts(found: dict) -> dict[str, tuple[str, int]]:
    return {each["of"]: (each["outcome"], each["more_without_error"]) for each in found["parts"]}


def test_met_where_every_upper_bound_is_below():
    found = judged(shown([0.9] * 40), shown([0.1] * 30, "print"), shown([0.4] * 25, "display"))
    assert found["outcome"] == "met"
    assert parts(found) == {"live": ("met", 0), "print": ("met", 0), "display": ("met", 0)}
    assert verdict_lines(found["values"]) == ["t: met."]


def test_too_little_data_says_how_many_more_of_what():
    found = judged(shown([0.9] * 40), shown([0.1] * 10, "print"))
    assert found["outcome"] == "too little data"
    assert parts(found) == {"live": ("met", 0), "print": ("too little data", 13)}  # 0.85 ** 23 < 0.025
    assert any("13 more presentations of print" in line for line in verdict_lines(found["values"]))


def test_not_met_where_another_threshold_would_do():
    found = judged(shown([0.9] * 40), shown([0.1] * 20 + [0.7] * 10, "print"))
    assert found["outcome"] == "not met"
    point = found["threshold_within"]["photos"]
    assert 0.7 < point["live_from"] <= 0.9
    assert (point["APCER"], point["BPCER"]) == (0, 0)
    assert "despoof calibrate" in verdict_lines(found["values"])[-1]


def test_no_threshold_separates_where_live_and_attacks_are_mixed():
    mixed = list(np.linspace(0.2, 0.9, 40))
    found = judged(shown(mixed), shown(mixed, "print"))
    assert found["outcome"] == "no threshold separates this camera"
    told = verdict_lines(found["values"])[-1]
    assert "AUC 0.500" in told
    assert told.endswith("despoof adapt")


def test_separation_is_looked_for_by_every_threshold():
    """Against trying each: at most 10 % of live below, at most 15 % of each species above."""
    outcomes = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        live = rng.beta(4 + seed / 5, 3, 30)
        kinds = {name: rng.beta(2, 4 + seed / 5, 12) for name in ("print", "display")}
        ways = [
            t for t in np.linspace(0, 1, 2001)
            if (live < t).mean() <= 0.1 and all((each >= t).mean() <= 0.15 for each in kinds.values())
        ]  # fmt: skip
        found = judged(shown(list(live)), *(shown(list(each), name) for name, each in kinds.items()))
        assert bool(found["threshold_within"]) == bool(ways)
        outcomes.add(bool(ways))
        if found["outcome"] == Outcome.NO_THRESHOLD:
            assert not ways
    assert outcomes == {True, False}


def test_non_responses_stand_apart_and_a_species_without_an_answer_is_not_met():
    found = judged(shown([0.9] * 40 + [None] * 10), shown([0.1] * 30, "print"), shown([None] * 30, "mask"))
    assert parts(found)["mask"] == ("too little data", 23)
    assert found["outcome"] == "too little data"
    rates = {
        each["rate"]: (each["errors"], each["presented"]) for each in found["values"]["rates"] if "NRR" in each["rate"]
    }
    assert rates == {"BPNRR": (10, 50), "APNRR": (30, 60)}
    assert parts(found)["live"] == ("met", 0)


def test_a_class_that_was_not_recorded_is_never_met():
    assert parts(judged(shown([0.9] * 40))) == {"attacks": ("too little data", 23), "live": ("met", 0)}
    assert parts(judged(shown([0.1] * 40, "print")))["live"][0] == "too little data"


def test_a_target_without_a_limit_on_bpcer_says_what_it_is():
    found = judged(shown([0.1] * 40), shown([0.1] * 30, "print"), target=Target("t", 0.15, None, ""))
    assert found["outcome"] == "met"
    assert "BPCER, which is 100.0 %" in verdict_lines(found["values"])[0]


def test_uncertain_refuses_live_and_passes_no_attack():
    found = judged(shown([0.45] * 40), shown([0.45] * 40, "print"))
    assert {each["of"]: each["errors"] for each in found["parts"]} == {"live": 40, "print": 0}


def test_a_rate_at_its_limit_is_too_little_data():
    rate = {"value": 0.1, "low": 0.05, "high": 0.2}
    assert [outcome(rate, limit) for limit in (0.09, 0.1, 0.21)] == ["not met", "too little data", "met"]


def test_overlap_is_of_photos_or_of_clips_and_needs_both_classes():
    found = [*shown([0.9, 0.8]), *shown([0.1, 0.85], "print"), *shown([0.5], suffix="mp4")]
    photos = overlap(found, clips=False, rounds=20)
    assert (photos["AUC"], photos["best_HTER"], photos["live"], photos["attacks"]) == (0.75, 0.25, 2, 2)
    assert photos["AUC_interval"][0] <= 0.75 <= photos["AUC_interval"][1]
    assert overlap(found, clips=True) is None
    alone = [*shown([0.9, 0.8], person="anna"), *shown([0.1], "print")]
    assert overlap(alone, clips=False)["AUC_interval"] is None


def test_worst_errors_are_shown_first_and_a_clip_by_its_example(monkeypatch):
    face = np.zeros((3, 8, 8), np.float32)
    asked = []

    def judge_clip(guard, frames):
        asked.append(frames)
        return SimpleNamespace(faces=[SimpleNamespace(example=SimpleNamespace(face=face))])

    guard = SimpleNamespace(check=lambda path: SimpleNamespace(face=None if path.name == "live-1.png" else face))
    monkeypatch.setattr(page, "judge_clip", judge_clip)
    monkeypatch.setattr(page, "read_clip", lambda path, rule: path)
    found = [*shown([0.5, 0.2, 0.3, 0.9]), *shown([0.1, 0.7, 0.95], "print", suffix="mp4")]
    pictures = page.misjudged(guard, found, most=2)
    assert [each.title.partition(" (")[0] for each in pictures] == [  # that of .2 has no face any more
        "live: UNCERTAIN, liveness 0.300", "attack, print: LIVE, liveness 0.950", "attack, print: LIVE, liveness 0.700",
    ]  # fmt: skip
    assert [Path(each).name for each in asked] == ["print-2.mp4", "print-1.mp4"]
    assert all(each.png.startswith(b"\x89PNG") and not each.name for each in pictures)


def with_quality(dark_errs: bool, seed: int = 0, count: int = 60) -> list[Judged]:
    """Live faces of which a third is refused: the darkest, or any."""
    rng = np.random.default_rng(seed)
    luma = rng.uniform(40, 200, count)
    refused = luma < np.quantile(luma, 0.33) if dark_errs else rng.random(count) < 0.33
    rows = shown([0.2 if each else 0.9 for each in refused])
    other = {name: rng.normal(size=count) for name in ("size", "sharpness", "clipped", "room")}
    return [
        Judged(row.sample, row.decision, row.liveness, (), {"luma": luma[i]} | {n: v[i] for n, v in other.items()})
        for i, row in enumerate(rows)
    ]


def test_a_link_with_light_is_found_and_said():
    (found,) = links(with_quality(dark_errs=True), attacks=False, rounds=300)
    assert (found["quality"], found["AUC"], found["errors"], found["others"]) == ("luma", 0.0, 20, 40)
    (line,) = link_lines({"links": [found]})
    assert line.startswith("Bona fide presentations that were refused are darker than the others")


def test_links_that_are_not_there_are_seldom_said():
    """Five values are tried each time, and in one of twenty tries any of them may be said by chance."""
    said = sum(bool(links(with_quality(dark_errs=False, seed=seed), attacks=False, rounds=200)) for seed in range(30))
    assert said <= 5  # P(more | 5 %) is 0.3 %
    assert "No link" in link_lines({"links": []})[0]


@pytest.mark.parametrize("count", [10, 20])
def test_few_errors_say_nothing(count):
    assert links(with_quality(dark_errs=True, count=count), attacks=False, rounds=50) == []
