"""Rates of a guard whose answers are known, counted by hand: what a user measures must be what `check` decides."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.evaluation import measure as module
from despoof.evaluation.measure import as_markdown, measure
from despoof.evaluation.scores import read_scores
from despoof.faces.quality import Reason
from despoof.metrics import proportion_interval
from despoof.verdict import Verdict, decide

# Thresholds .3 and .6: LIVE from .6, ATTACK below .3, UNCERTAIN between; None is a picture without a face.
LIVE = (0.9, 0.8, 0.7, 0.5, 0.1, None)
PRINT = (0.05, 0.2, 0.4, 0.65)
MASK = (0.1, None, None)
CLIP = 0.95  # of an attack of replay


class StubGuard:
    """Says the liveness that a file's name holds; a clip is overruled, as a clip that changes on the way would be."""

    thresholds = clip_thresholds = (0.3, 0.6)
    weights, engine_name = {"detector": "d0", "generator": "g0"}, "torch"
    profile, point = None, "lenient"
    preprocessing = {"detector": "stub"}

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.stop_after = 99

    def check_many(self, sources):
        return [self.verdict(Path(source)) for source in sources]

    def verdict(self, path: Path) -> Verdict:
        if len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(path.name)
        said = path.read_text()
        if said == "None":
            return Verdict(decide(float("nan"), self.thresholds), None, (Reason("no_face", None, None, "No face."),))
        return Verdict(decide(float(said), self.thresholds), float(said))


@pytest.fixture
def samples(tmp_path, monkeypatch) -> list[Sample]:
    found = []
    for label, species, values in (
        (Label.LIVE, "none", LIVE), (Label.ATTACK, "print", PRINT), (Label.ATTACK, "mask", MASK),
        (Label.ATTACK, "replay", (CLIP,)),
    ):  # fmt: skip
        for i, value in enumerate(values):
            name = f"{species}-{i}.{'mp4' if species == 'replay' else 'jpg'}"
            (tmp_path / name).write_text(str(value))
            found.append(Sample(name, label, species, f"s{i}", source=str(tmp_path)))

    def judge_clip(guard, frames):
        verdict = guard.verdict(Path(frames))
        face = SimpleNamespace(liveness=verdict.liveness, example=verdict)
        changed = Reason("changes", None, None, "Live at first, then not.")
        return SimpleNamespace(decision=decide(0.4, guard.thresholds), faces=[face], reasons=(changed,))

    monkeypatch.setattr(module, "judge_clip", judge_clip)
    monkeypatch.setattr(module, "read_clip", lambda source, rule: source)
    return found


def test_rates_are_the_hand_counted_ones(samples, tmp_path):
    values = measure(StubGuard(), samples, tmp_path / "out")
    counted = {
        (each["rate"], each["of"], each["threshold"]): (each["errors"], each["presented"]) for each in values["rates"]
    }
    assert counted == {
        ("BPCER", "live", "live_from"): (2, 5),  # .5 is uncertain and .1 an attack
        ("APCER", "mask", "live_from"): (0, 1),
        ("APCER", "print", "live_from"): (1, 4),
        ("APCER", "replay", "live_from"): (0, 1),  # its median says LIVE, the clip as a whole UNCERTAIN
        ("BPCER", "live", "attack_below"): (1, 5),
        ("APCER", "mask", "attack_below"): (0, 1),
        ("APCER", "print", "attack_below"): (2, 4),
        ("APCER", "replay", "attack_below"): (1, 1),
        ("BPNRR", "live", None): (1, 6),
        ("APNRR", "attacks", None): (2, 8),
    }
    for each in values["rates"]:
        interval = proportion_interval(each["errors"], each["presented"])
        assert (each["low"], each["high"]) == (interval.low, interval.high)
    assert values["HTER @ live_from"] == pytest.approx((2 / 5 + 1 / 6) / 2)
    live, attack = [x for x in LIVE if x is not None], [*PRINT, MASK[0], CLIP]
    assert values["AUC"] == pytest.approx(sum((a > b) + (a == b) / 2 for a in live for b in attack) / 30)
    assert values["decisions"] == {
        "live": {"LIVE": 3, "UNCERTAIN": 1, "ATTACK": 1, "NO_DECISION": 1},
        "mask": {"ATTACK": 1, "NO_DECISION": 2},
        "print": {"ATTACK": 2, "UNCERTAIN": 1, "LIVE": 1},
        "replay": {"UNCERTAIN": 1},
    }
    assert values["reasons"] == {"live": {"no_face": 1}, "mask": {"no_face": 2}, "print": {}, "replay": {"changes": 1}}
    assert (values["presentations"], values["clips"], values["subjects"]) == (14, 1, 6)


def test_files_hold_the_scores_the_figures_and_who_judged(samples, tmp_path):
    values = measure(StubGuard(), samples, tmp_path / "out")
    scores = read_scores(tmp_path / "out/scores.csv")
    assert scores.liveness(Label.LIVE).tolist() == [x for x in LIVE if x is not None]
    assert (scores.unanswered(Label.LIVE), scores.unanswered(Label.ATTACK)) == (1, 2)
    assert scores.facts["thresholds"]["live_from of photos"] == {"value": 0.6, "origin": "the weights' point lenient"}
    assert scores.facts["identity"]["parents"] == StubGuard.weights
    written = json.loads((tmp_path / "out/measure.json").read_text())
    assert {name: written[name] for name in values} == json.loads(json.dumps(values))
    text = (tmp_path / "out/measure.md").read_text()
    assert text == as_markdown(values)
    assert "live_from 0.600, the weights' point lenient" in text
    guard = StubGuard()
    guard.profile = SimpleNamespace(label="door@12")
    guard.clip_thresholds = (0.3, 0.7)
    assert "live_from 0.600, of clips 0.700, profile door@12" in as_markdown(measure(guard, samples, tmp_path / "door"))


def test_a_killed_run_goes_on_and_ends_alike_and_another_one_is_refused(samples, tmp_path):
    whole = measure(StubGuard(), samples, tmp_path / "whole")
    guard, out = StubGuard(), tmp_path / "out"
    guard.stop_after = 13  # all but the clip
    with pytest.raises(KeyboardInterrupt):
        measure(guard, samples, out)
    assert not (out / "scores.csv").exists()
    verdicts = out / "verdicts.jsonl"
    verdicts.write_text(verdicts.read_text()[:-5])  # a kill in mid-line
    guard.seen.clear()
    assert measure(guard, samples, out) == whole
    assert guard.seen == ["mask-2.jpg", "replay-0.mp4"]
    for name in ("scores.csv", "measure.json", "measure.md"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    guard.weights = {"detector": "d1", "generator": "g0"}
    with pytest.raises(ArtefactError, match="detector was 'd0', now 'd1'"):
        measure(guard, samples, out)
    with pytest.raises(ArtefactError, match="data was"):
        measure(StubGuard(), samples[1:], out)


def test_live_alone_has_no_rates_of_attacks_and_a_missing_file_is_refused(samples, tmp_path):
    values = measure(StubGuard(), samples[:6], tmp_path / "out")
    assert {each["rate"] for each in values["rates"]} == {"BPCER", "BPNRR"}
    assert values["AUC"] is values["HTER @ live_from"] is None
    with pytest.raises(InputError, match="1 of 7 files are missing"):
        measure(StubGuard(), [*samples[:6], Sample("gone.jpg", Label.LIVE)], tmp_path / "other")
