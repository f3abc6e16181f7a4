"""Weights as they are, on labelled photos and clips: what the guard of `despoof check` decides -> error rates.

    OUT/verdicts.jsonl   identity of the run, then one line per presentation as it was judged; a killed run goes on
    OUT/scores.csv       the score file
    OUT/measure.md, OUT/measure.json

Rates count decisions, not liveness at a threshold: of a clip, what its frames say together may overrule their median.
NO_DECISION is a non-response: it is counted as such, and in no other rate.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from despoof import metrics
from despoof.clip.frame import read_clip
from despoof.clip.judge import judge_clip
from despoof.clip.rule import ClipRule
from despoof.data.sample import Label, Sample, Split
from despoof.data.video import is_video
from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow, write_scores
from despoof.evaluation.tables import markdown
from despoof.pipeline import BATCH, Guard
from despoof.profile import Rate
from despoof.runs.config import config_hash, to_dict
from despoof.runs.folder import write_json, write_text
from despoof.runs.identity import Identity, provenance
from despoof.runs.progress import track
from despoof.verdict import Decision

FORMAT = "despoof-measure/1"


@dataclass(frozen=True)
class Judged:
    """What was decided of a sample: liveness in 0..1 or None, and the names of the reasons."""

    sample: Sample
    decision: Decision
    liveness: float | None
    reasons: tuple[str, ...]

    @property
    def group(self) -> str:
        """Return live, or the species of the attack."""
        return "live" if self.sample.label is Label.LIVE else self.sample.attack_type


def measure(guard: Guard, samples: Sequence[Sample], out: str | Path) -> list[Judged]:
    """Judge every sample with the guard, write scores, tables and JSON below `out`, and return what was decided.

    A folder that holds the verdicts of other weights, thresholds or samples is an ArtefactError.
    """
    missing = [sample.file for sample in samples if not Path(sample.file).is_file()]
    if missing or not samples:
        raise InputError(f"{len(missing)} of {len(samples)} files are missing: {missing[:1]}. Correct the table.")
    out, identity = Path(out), _identity(guard, samples)
    verdicts = out / "verdicts.jsonl"
    kept = _kept(verdicts, identity)
    rest = [sample for sample in samples if sample.key not in kept]
    out.mkdir(parents=True, exist_ok=True)
    with verdicts.open("a", encoding="utf-8") as file:
        for judged in track(_judge(guard, rest), "measure", len(rest)):
            kept[judged.sample.key] = {
                "key": judged.sample.key,
                "decision": judged.decision.value,
                "liveness": judged.liveness,
                "reasons": judged.reasons,
            }
            file.write(json.dumps(kept[judged.sample.key]) + "\n")
            file.flush()
    found = [_read(sample, kept[sample.key]) for sample in samples]
    write_scores(out / "scores.csv", _score_file(guard, found, identity))
    write_json(out / "measure.json", as_json(guard, found) | provenance(identity))
    write_text(out / "measure.md", as_markdown(guard, found))
    return found


def rates(found: Sequence[Judged]) -> list[tuple[str, str, str, Rate]]:
    """Return (rate, species or live, threshold, counts) of every rate that has a presentation.

    `live_from`: an attack passes as LIVE; live is refused by any other decision. `attack_below`: an attack passes by
    not being called ATTACK; live is refused by being called so.
    """
    groups: dict[str, list[Decision]] = {}
    for judged in sorted(found, key=lambda each: (each.sample.label is Label.ATTACK, each.group)):
        groups.setdefault(judged.group, []).append(judged.decision)
    rows = []
    for threshold, bound in (("live_from", Decision.LIVE), ("attack_below", Decision.ATTACK)):
        for group, decisions in groups.items():
            answered = [each for each in decisions if each is not Decision.NO_DECISION]
            bounded = sum(each is bound for each in answered)
            is_error = (group == "live") == (bound is Decision.ATTACK)  # live called ATTACK, or an attack called LIVE
            errors = bounded if is_error else len(answered) - bounded
            if answered:
                rows.append(("BPCER" if group == "live" else "APCER", group, threshold, _rate(errors, len(answered))))
    for name, labelled in (("BPNRR", True), ("APNRR", False)):
        silent = [each.decision is Decision.NO_DECISION for each in found if (each.group == "live") == labelled]
        if silent:
            rows.append((name, "live" if labelled else "all attacks", "–", _rate(sum(silent), len(silent))))
    return rows


def curves(found: Sequence[Judged]) -> dict[str, float | None]:
    """Return AUC, and HTER of the decisions at live_from; None where one class has no answer."""
    answered = [each for each in found if each.decision is not Decision.NO_DECISION]
    live, attack = ([each for each in answered if each.sample.label is label] for label in Label)
    if not live or not attack:
        return {"AUC": None, "HTER @ live_from": None}
    scores = [np.array([each.liveness for each in part], np.float64) for part in (live, attack)]
    refused = np.mean([each.decision is not Decision.LIVE for each in live])
    passed = np.mean([each.decision is Decision.LIVE for each in attack])
    return {"AUC": metrics.auc(*scores), "HTER @ live_from": float(refused + passed) / 2}


def threshold_source(guard: Guard) -> str:
    """Say where the thresholds come from."""
    return "weights' own" if guard.profile is None else f"profile {guard.profile.label}"


def as_json(guard: Guard, found: Sequence[Judged]) -> dict:
    """Return all figures as JSON values."""
    low, high = guard.thresholds
    return {
        "format": FORMAT,
        "weights": guard.weights,
        "engine": guard.engine_name,
        "thresholds": {"attack_below": low, "live_from": high, "source": threshold_source(guard)},
        "rates": [
            {"rate": name, "of": group, "threshold": threshold, **to_dict(rate), "value": rate.value}
            for name, group, threshold, rate in rates(found)
        ],
        **curves(found),
        "decisions": {group: dict(counts) for group, counts in _decisions(found).items()},
        "reasons": {group: dict(counts) for group, counts in _reasons(found).items()},
    }


def as_markdown(guard: Guard, found: Sequence[Judged]) -> str:
    """Return all figures as tables."""
    low, high = guard.thresholds
    source = threshold_source(guard)
    values = {"live_from": f"live_from {high:.3f}, {source}", "attack_below": f"attack_below {low:.3f}, {source}"}
    rows: list[list[object]] = [
        [name, group, values.get(threshold, threshold), rate.errors, rate.presented, f"{100 * rate.value:.2f}",
         f"{100 * rate.low:.1f}–{100 * rate.high:.1f}"]
        for name, group, threshold, rate in rates(found)
    ]  # fmt: skip
    for name, value in curves(found).items():
        shown = "–" if value is None else f"{100 * value:.2f}"
        rows.append([name.partition(" @")[0], "all", values["live_from"] if "@" in name else "–", "", "", shown, ""])
    people = len({each.sample.person for each in found})
    decisions = [[group, *(counts[each] for each in Decision)] for group, counts in _decisions(found).items()]
    reasons = [[group, *each] for group, counts in _reasons(found).items() for each in counts.most_common()]
    clips = sum(is_video(each.sample.file) for each in found)
    parts = [
        f"{len(found)} presentations ({clips} clips) of {people} subjects. Rates in percent, with exact 95 % intervals "
        "(Clopper-Pearson), which take presentations as independent: too narrow where one subject gave many.",
        markdown(["rate", "of", "threshold", "errors", "presented", "%", "95 % interval"], rows),
        markdown(["shown", *(each.value for each in Decision)], decisions),
        *([markdown(["shown", "reason", "presentations"], reasons)] if reasons else []),
    ]
    return "\n".join(f"{part.strip()}\n" for part in parts)


def _rate(errors: int, presented: int) -> Rate:
    interval = metrics.proportion_interval(errors, presented)
    return Rate(errors, presented, presented, interval.low, interval.high)


def _decisions(found: Sequence[Judged]) -> dict[str, Counter]:
    counts: dict[str, Counter] = {}
    for each in sorted(found, key=lambda each: (each.sample.label is Label.ATTACK, each.group)):
        counts.setdefault(each.group, Counter())[each.decision] += 1
    return counts


def _reasons(found: Sequence[Judged]) -> dict[str, Counter]:
    counts: dict[str, Counter] = {}
    for each in found:
        if each.reasons:
            counts.setdefault(each.group, Counter()).update(each.reasons)
    return counts


def _identity(guard: Guard, samples: Sequence[Sample]) -> Identity:
    config = {
        "thresholds": guard.thresholds,
        "profile": None if guard.profile is None else guard.profile.label,
        "preprocessing": guard.preprocessing,
        "engine": guard.engine_name,
        "clips": to_dict(ClipRule()),
    }
    # Sizes in place of contents: clips may be many gigabytes, and are read once, when they are judged.
    data = config_hash([[sample.as_row(), Path(sample.file).stat().st_size] for sample in samples])
    return Identity("measure", json.loads(json.dumps(config)), data, guard.weights)


def _kept(path: Path, identity: Identity) -> dict[str, dict]:
    """Return what was judged before, by key, after cutting off a line that a kill left torn; begin the file if new."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")] or [json.dumps(identity.as_dict()) + "\n"]
    identity.require(json.loads(whole[0]), path)
    if whole != lines:
        write_text(path, "".join(whole))
    return {row["key"]: row for row in map(json.loads, whole[1:])}


def _judge(guard: Guard, samples: Sequence[Sample]) -> Iterator[Judged]:
    """Yield what is decided of each sample: photos together in batches, then clips, as `despoof check` judges them."""
    photos = [sample for sample in samples if not is_video(sample.file)]
    for start in range(0, len(photos), BATCH):
        chunk = photos[start : start + BATCH]
        for sample, verdict in zip(chunk, guard.check_many([Path(one.file) for one in chunk]), strict=True):
            yield Judged(sample, verdict.decision, verdict.liveness, tuple(each.name for each in verdict.reasons))
    for sample in samples:
        if is_video(sample.file):
            rule = ClipRule()
            verdict = judge_clip(guard, read_clip(sample.file, rule), rule)
            liveness = verdict.faces[0].liveness if len(verdict.faces) == 1 else None
            yield Judged(sample, verdict.decision, liveness, tuple(each.name for each in verdict.reasons))


def _read(sample: Sample, row: dict) -> Judged:
    return Judged(sample, Decision(row["decision"]), row["liveness"], tuple(row["reasons"]))


def _score_file(guard: Guard, found: Sequence[Judged], identity: Identity) -> ScoreFile:
    rows = []
    for each in found:
        silent = each.decision is Decision.NO_DECISION
        reason = (", ".join(each.reasons) or "no_decision") if silent else ""
        rows.append(ScoreRow.from_sample(each.sample, None if silent else each.liveness, reason))
    origin = threshold_source(guard)
    thresholds = dict(zip(("attack_below", "live_from"), guard.thresholds, strict=True))
    facts = {
        "protocol": "measure",
        "cell": "all",
        "model": "+".join(f"{part}:{name}" for part, name in guard.weights.items()),
        "seed": 0,
        "split": Split.TEST.value,
        "thresholds": {name: {"value": value, "origin": origin} for name, value in thresholds.items()},
    }
    return ScoreFile(tuple(rows), facts | provenance(identity))
