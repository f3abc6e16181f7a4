"""Weights as they are, on labelled photos and clips: what the guard of `despoof check` decides -> error rates.

    OUT/verdicts.jsonl   identity of the run, then one line per presentation as it was judged; a killed run goes on
    OUT/scores.csv       the score file
    OUT/measure.md, OUT/measure.json

Rates count decisions, not liveness at a threshold: a clip that changes on its way is none, whatever its liveness.
NO_DECISION is a non-response: it is counted as such, and in no other rate.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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
from despoof.runs.config import config_hash, to_dict
from despoof.runs.folder import write_json, write_text
from despoof.runs.identity import Identity, provenance
from despoof.runs.lines import add_lines, kept_lines
from despoof.runs.progress import track
from despoof.verdict import Decision

FORMAT = "despoof-measure/1"
BOUNDS = ("attack_below", "live_from")  # as a guard's thresholds stand


@dataclass(frozen=True)
class Judged:
    """What was decided of a sample: liveness in 0..1 or None, and the names of the reasons.

    `quality` is of the judged face, of a clip that of its `example`, see `Verdict.quality`.
    """

    sample: Sample
    decision: Decision
    liveness: float | None
    reasons: tuple[str, ...]
    quality: dict[str, float] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Live, or the species of the attack."""
        return "live" if self.sample.label is Label.LIVE else self.sample.attack_type

    @property
    def answered(self) -> bool:
        """Whether there is a decision."""
        return self.decision is not Decision.NO_DECISION


def measure(guard: Guard, samples: Sequence[Sample], out: str | Path) -> dict:
    """Judge every sample with the guard, write scores and figures below `out`, and return the figures as JSON values.

    A folder that holds the verdicts of other weights, thresholds or samples is an ArtefactError.
    """
    found, out, identity = judged(guard, samples, out), Path(out), _identity(guard, samples)
    values = figures(guard, found)
    write_scores(out / "scores.csv", _score_file(values, found, identity))
    write_json(out / "measure.json", values | provenance(identity))
    write_text(out / "measure.md", as_markdown(values))
    return values


def judged(guard: Guard, samples: Sequence[Sample], out: str | Path) -> list[Judged]:
    """Judge every sample that `out` has no verdict of yet, as `measure` does, and return all in their order."""
    missing = [sample.file for sample in samples if not Path(sample.file).is_file()]
    if missing or not samples:
        raise InputError(f"{len(missing)} of {len(samples)} files are missing: {missing[:1]}. Correct the table.")
    out, identity = Path(out), _identity(guard, samples)
    out.mkdir(parents=True, exist_ok=True)
    kept = {key: row for key, *row in kept_lines(out / "verdicts.jsonl", identity)}
    rest = [sample for sample in samples if sample.key not in kept]
    for one in track(_judge(guard, rest), "measure", len(rest)):
        kept[one.sample.key] = [one.decision.value, one.liveness, one.reasons, one.quality]
        add_lines(out / "verdicts.jsonl", [[one.sample.key, *kept[one.sample.key]]])
    found = []
    for each in samples:
        decision, liveness, reasons, quality = kept[each.key]
        found.append(Judged(each, Decision(decision), liveness, tuple(reasons), quality))
    return found


def figures(guard: Guard, found: Sequence[Judged]) -> dict:
    """Return every figure as JSON values; None where a class has no answer."""
    source = f"the weights' point {guard.point}" if guard.profile is None else f"profile {guard.profile.label}"
    live, attack = ([each for each in found if each.answered and each.sample.label is label] for label in Label)
    auc = hter = None
    if live and attack:
        auc = metrics.auc(*(np.array([each.liveness for each in part], np.float64) for part in (live, attack)))
        accepted = (np.array([each.decision is Decision.LIVE for each in part], float) for part in (live, attack))
        hter = metrics.hter(*accepted, threshold=1.0)
    return {
        "format": FORMAT,
        "weights": guard.weights,
        "engine": guard.engine_name,
        "thresholds": {"photos": guard.thresholds, "clips": guard.clip_thresholds, "source": source},
        "presentations": len(found),
        "clips": sum(is_video(each.sample.file) for each in found),
        "subjects": len({each.sample.person for each in found}),
        "rates": _rates(found),
        "AUC": auc,
        "HTER @ live_from": hter,
        "decisions": _counts(found, lambda each: [each.decision.value]),
        "reasons": _counts(found, lambda each: each.reasons),
    }


def as_markdown(values: dict) -> str:
    """Return the figures as tables."""
    photos, clips, source = (values["thresholds"][name] for name in ("photos", "clips", "source"))
    at = {
        name: f"{name} {photo:.3f}{'' if photo == clip else f', of clips {clip:.3f}'}, {source}"
        for name, photo, clip in zip(BOUNDS, photos, clips, strict=True)
    }
    rows = [
        [each["rate"], each["of"], at.get(each["threshold"], "–"), each["errors"], each["presented"],
         f"{100 * each['value']:.2f}", f"{100 * each['low']:.1f}–{100 * each['high']:.1f}"]
        for each in values["rates"]
    ]  # fmt: skip
    for name, threshold in (("HTER @ live_from", at["live_from"]), ("AUC", "–")):
        shown = "–" if values[name] is None else f"{100 * values[name]:.2f}"
        rows.append([name.partition(" ")[0], "all", threshold, "", "", shown, ""])
    decisions = [
        [group, *(counts.get(each.value, 0) for each in Decision)] for group, counts in values["decisions"].items()
    ]
    reasons = [[group, *each] for group, counts in values["reasons"].items() for each in counts.items()]
    parts = [
        f"{values['presentations']} presentations ({values['clips']} clips) of {values['subjects']} subjects. Rates in "
        "percent with exact 95 % intervals (Clopper-Pearson), which take presentations as independent and so are too "
        "narrow where one subject gave many. Live is accepted by LIVE alone; of the attacks, ATTACK is what refuses.",
        markdown(["rate", "of", "threshold", "errors", "presented", "%", "95 % interval"], rows),
        markdown(["shown", *(each.value for each in Decision)], decisions),
        *([markdown(["shown", "reason", "presentations"], reasons)] if reasons else []),
    ]
    return "\n".join(f"{part.strip()}\n" for part in parts)


def _rates(found: Sequence[Judged]) -> list[dict]:
    """Return errors and counts of each rate that has a presentation.

    At `live_from` an attack passes as LIVE, and live is refused by any other decision. At `attack_below` an attack
    passes by any decision but ATTACK, and live is refused by that one.
    """
    rows = []
    for threshold, bound in (("live_from", Decision.LIVE), ("attack_below", Decision.ATTACK)):
        for group in _counts(found, lambda each: ()):
            bounded = [each.decision is bound for each in found if each.group == group and each.answered]
            counts_bound = (group == "live") == (bound is Decision.ATTACK)  # else its opposite is the error
            errors = sum(bounded) if counts_bound else len(bounded) - sum(bounded)
            rows.append(("BPCER" if group == "live" else "APCER", group, threshold, errors, len(bounded)))
    for name, label in (("BPNRR", Label.LIVE), ("APNRR", Label.ATTACK)):
        silent = [not each.answered for each in found if each.sample.label is label]
        rows.append((name, "live" if label is Label.LIVE else "attacks", None, sum(silent), len(silent)))
    return [_rate(*row) for row in rows if row[-1]]


def _rate(name: str, group: str, threshold: str | None, errors: int, presented: int) -> dict:
    interval = metrics.proportion_interval(errors, presented)
    counts = {"errors": errors, "presented": presented, "value": errors / presented}
    return {"rate": name, "of": group, "threshold": threshold} | counts | {"low": interval.low, "high": interval.high}


def _counts(found: Sequence[Judged], words: Callable[[Judged], Iterable[str]]) -> dict[str, dict[str, int]]:
    """Return, of live and of each species, how often each word occurs."""
    counts: dict[str, Counter] = {}
    for each in sorted(found, key=lambda each: (each.sample.label is Label.ATTACK, each.group)):
        counts.setdefault(each.group, Counter()).update(words(each))
    return {group: dict(each.most_common()) for group, each in counts.items()}


def _identity(guard: Guard, samples: Sequence[Sample]) -> Identity:
    config = {
        "thresholds": [guard.thresholds, guard.clip_thresholds],
        "profile": None if guard.profile is None else guard.profile.label,
        "preprocessing": guard.preprocessing,
        "engine": guard.engine_name,
        "clips": to_dict(ClipRule()),
        "quality": 1,  # of what each line of verdicts.jsonl says of it
    }
    # Sizes in place of contents: clips may be many gigabytes, and are read once, when they are judged.
    data = config_hash([[sample.as_row(), Path(sample.file).stat().st_size] for sample in samples])
    return Identity("measure", json.loads(json.dumps(config)), data, guard.weights)


def _judge(guard: Guard, samples: Sequence[Sample]) -> Iterator[Judged]:
    """Yield what is decided of each sample: photos together in batches, then clips, as `despoof check` judges them."""
    photos = [sample for sample in samples if not is_video(sample.file)]
    for start in range(0, len(photos), BATCH):
        chunk = photos[start : start + BATCH]
        for sample, verdict in zip(chunk, guard.check_many([Path(one.file) for one in chunk]), strict=True):
            reasons = tuple(each.name for each in verdict.reasons)
            yield Judged(sample, verdict.decision, verdict.liveness, reasons, verdict.quality)
    for sample in samples:
        if is_video(sample.file):
            verdict = judge_clip(guard, read_clip(sample.file, ClipRule()))
            alone = verdict.faces[0] if len(verdict.faces) == 1 else None
            liveness, example = (None, None) if alone is None else (alone.liveness, alone.example)
            reasons = tuple(each.name for each in verdict.reasons)
            yield Judged(sample, verdict.decision, liveness, reasons, {} if example is None else example.quality)


def _score_file(values: dict, found: Sequence[Judged], identity: Identity) -> ScoreFile:
    rows = []
    for each in found:
        reason = "" if each.answered else ", ".join(each.reasons) or "no_decision"
        rows.append(ScoreRow.from_sample(each.sample, each.liveness if each.answered else None, reason))
    limits = values["thresholds"]
    facts = {
        "protocol": "measure",
        "cell": "all",
        "model": "+".join(values["weights"].values()),
        "seed": 0,
        "split": Split.TEST.value,
        "thresholds": {
            f"{name} of {kind}": {"value": value, "origin": limits["source"]}
            for kind in ("photos", "clips")
            for name, value in zip(BOUNDS, limits[kind], strict=True)
        },
    }
    return ScoreFile(tuple(rows), facts | provenance(identity))
