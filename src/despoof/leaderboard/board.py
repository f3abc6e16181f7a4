"""Entries on the cameras of a store -> figures of the board as JSON values; every rate comes from score files.

    OUT/scores/leave-cameras-out/NAME/FOLD-seed0-test.csv    score files, which `despoof report` reads too
    OUT/stability/verdicts.jsonl                             what small disturbances do

Folds are those of `despoof evaluate --protocol leave-cameras-out`, fewer where there are fewer cameras. Of one camera
there is no cross-fitted threshold, and what hangs on it is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from despoof.data.sample import Label, Split
from despoof.data.split import deal_domains
from despoof.errors import InputError
from despoof.evaluation.cameras import (
    APCER,
    AUC,
    BPCER,
    HTER,
    Cameras,
    Measured,
    half_total,
    on_cameras,
    paired_difference,
)
from despoof.evaluation.crossfit import POINTS, CrossFitted, cross_fitted
from despoof.evaluation.peers.peer import PlacedPeer
from despoof.evaluation.protocols import CROSS_FITTED
from despoof.evaluation.scores import ScoreFile, ScoreRow, write_scores
from despoof.faces.store import Store, StoredSample
from despoof.leaderboard.cost import Time, megabytes, parameters
from despoof.leaderboard.entry import Entry
from despoof.pipeline import Guard
from despoof.runs.identity import Identity, provenance
from despoof.studies.stability.study import PLAIN, Answers, Captures, judge
from despoof.studies.tables import Estimate
from despoof.verdict import Decision

PROTOCOL, FOLDS = "leave-cameras-out", 7
SHIPPED = "shipped"
HTER_SHIPPED, APCER_SHIPPED, BPCER_SHIPPED = (f"{rate} @ {SHIPPED}" for rate in ("HTER", "APCER", "BPCER"))
FIGURES = (AUC, HTER_SHIPPED, APCER_SHIPPED, BPCER_SHIPPED, HTER, APCER, BPCER, "no answer")
COMPARED = (HTER, HTER_SHIPPED, AUC)
SMALL = (  # what cameras and networks do to a picture without anybody noticing
    "cut 2 %", "coding JPEG 75", "coding WebP 80", "detail blur 0.6 px", "detail noise 3", "light -0.5 EV",
    "light +0.5 EV", "colour warm -10 %", "colour warm +10 %", "turn -3°", "turn +3°", "turn mirrored",
)  # fmt: skip


def captured(store: Store) -> list[StoredSample]:
    """Return the rows of real captures of a store; of one label they are an InputError."""
    rows = [row for row in store.rows if not row.sample.simulated]
    if {row.sample.label for row in rows if row.outcome == "face"} != set(Label):
        raise InputError(f"{len(rows)} captures in {store.root}, not of both labels; expected faces live and attack.")
    return rows


def on_board(entry: Entry, rows: Sequence[StoredSample], out: Path, *, rounds: int = 1000) -> Cameras:
    """Write the score files of an entry and return its figures on each camera, with those at its own threshold."""
    samples = [row.sample for row in rows]
    cameras = sorted({sample.domain for sample in samples})
    folds = deal_domains(samples, min(FOLDS, len(cameras))) if len(cameras) > 1 else [tuple(cameras)]
    files = []
    for number, fold in enumerate(folds):
        inside = [row for row in rows if row.sample.domain in fold]
        facts = _facts(entry, inside, f"fold-{number}", [name for name in cameras if name not in fold])
        files.append(ScoreFile(tuple(_score(entry, row) for row in inside), facts))
        write_scores(out / "scores" / PROTOCOL / entry.name / f"fold-{number}-seed0-test.csv", files[-1])
    judged = cross_fitted(files)[0] if len(folds) > 1 else _of_one(entry, files[0])
    shipped = np.full(judged.liveness.shape, entry.threshold)
    found = on_cameras(replace(judged, thresholds=judged.thresholds | {SHIPPED: shipped}), rounds=rounds)
    figures = dict(found.figures)
    if len(folds) == 1:  # thresholds of no other camera: what hangs on them is not there
        figures |= {name: _nothing(figures[name]) for name in (HTER, APCER, BPCER)}
    figures |= {name: figures[f"{name.split()[0]}, {SHIPPED}"] for name in (APCER_SHIPPED, BPCER_SHIPPED)}
    figures[HTER_SHIPPED] = half_total(figures[APCER_SHIPPED], figures[BPCER_SHIPPED])
    return replace(found, figures=figures)


def steadiness(
    guard: Guard, entries: Sequence[Entry], placed: Sequence[PlacedPeer], rows: Sequence[StoredSample], out: Path,
    *, count: int,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Return, by name, the share of acceptances that `SMALL` disturbances change, of about `count` faces.

    Accepted is LIVE of ours, and liveness from its threshold on of a public model; no face is not accepted. The
    interval is of a mean over faces. `entries` are ours and then those of `placed`, in their order.
    """
    samples = [row.sample for row in rows if row.outcome == "face" and not row.sample.video]  # photos alone
    groups = {(sample.domain, sample.label) for sample in samples}
    captures = Captures.taken(samples, -(-count // len(groups)), limit=count)
    judged = judge(guard, captures, SMALL, out / "stability", peers=placed)
    found = {}
    for entry, answers in zip(entries, judged.values(), strict=True):
        accepted = {name: _accepted(entry, each, ours=entry is entries[0]) for name, each in answers.items()}
        changed = np.mean([accepted[name] != accepted[PLAIN] for name in SMALL], axis=0)
        found[entry.name] = asdict(Estimate.of_mean(changed)) | {"faces": len(changed), "disturbances": len(SMALL)}
    return found


def board(
    entries: Sequence[Entry], models: Sequence[Cameras], times: Mapping[str, Time], steady: Mapping[str, dict]
) -> dict[str, Any]:
    """Return all figures as JSON values; rates in 0..1. Entries and their models stand in one order, ours first."""
    first = models[0]
    lines = [_line(entry, model, times, steady) for entry, model in zip(entries, models, strict=True)]
    differences = [
        {"name": entry.name, "figures": {name: _difference(first, model, name) for name in COMPARED}}
        for entry, model in zip(entries[1:], models[1:], strict=True)
    ]
    return {
        "cameras": len(first.names),
        "live": int(first.counts["live"].sum()),
        "attack": int(first.counts["attack"].sum()),
        "faces": len(entries[0].answers),
        "rows": lines,
        f"{entries[0].name} minus": differences,
    }


def _score(entry: Entry, row: StoredSample) -> ScoreRow:
    liveness = entry.answers.get(row.key, np.nan) if row.outcome == "face" else np.nan
    if np.isnan(liveness):
        return ScoreRow.from_sample(row.sample, None, "no_score" if row.outcome == "face" else row.outcome)
    return ScoreRow.from_sample(row.sample, float(liveness))


def _facts(entry: Entry, rows: Sequence[StoredSample], cell: str, others: Sequence[str]) -> dict[str, Any]:
    told = {name: list(getattr(entry, name)) for name in ("learned", "unknown", "left_out")}
    identity = Identity("leaderboard", {"name": entry.name, "cell": cell} | told, Store.data_hash(list(rows)))
    return {
        "protocol": PROTOCOL, "cell": cell, "model": entry.name, "seed": 0, "split": Split.TEST.value,
        "thresholds": {SHIPPED: {"value": entry.threshold, "origin": "what the model comes with"}},
        "threshold": CROSS_FITTED, "sources": list(others), "simulated": "none", "unit": "image",
        **provenance(identity),
    }  # fmt: skip


def _of_one(entry: Entry, file: ScoreFile) -> CrossFitted:
    liveness = np.array([[np.nan if row.liveness is None else row.liveness for row in file.rows]])
    return CrossFitted(
        PROTOCOL, entry.name, (0,), file.rows, liveness, dict.fromkeys(POINTS, np.full_like(liveness, 1))
    )


def _nothing(measured: Measured) -> Measured:
    return Measured(np.full_like(measured.values, np.nan), np.full_like(measured.drawn, np.nan))


def _accepted(entry: Entry, answers: Answers, *, ours: bool) -> np.ndarray:
    return answers.decisions == Decision.LIVE.value if ours else answers.liveness >= entry.threshold  # NaN is not


def _line(entry: Entry, model: Cameras, times: Mapping[str, Time], steady: Mapping[str, dict]) -> dict[str, Any]:
    figures = {name: _figure(model, name) for name in FIGURES}
    worst = {name: dict(zip(("camera", "value"), model.worst(name), strict=True)) for name in (HTER, HTER_SHIPPED, AUC)}
    each = {
        camera: {name: _number(model.figures[name].values[0, i]) for name in FIGURES}
        for i, camera in enumerate(model.names)
    }
    return {
        "name": entry.name,
        "licence": entry.licence,
        "megabytes": megabytes(entry.files),
        "parameters": parameters(entry.files),
        "milliseconds": asdict(times[entry.name]) if entry.name in times else None,
        "threshold": entry.threshold,
        "figures": figures,
        "worst": {name: one | {"value": _number(one["value"])} for name, one in worst.items()},
        "stability": steady.get(entry.name),
        "lacking surroundings": entry.lacking,
        "learned": list(entry.learned),
        "unknown": list(entry.unknown),
        "left out": list(entry.left_out),
        "by camera": each,
    }


def _figure(model: Cameras, name: str) -> dict[str, float | None]:
    figure = model.mean(model.figures[name])
    ends = (None, None) if figure.interval is None else (figure.interval.low, figure.interval.high)
    return {"value": _number(figure.value), "low": ends[0], "high": ends[1]}


def _difference(one: Cameras, other: Cameras, name: str) -> dict[str, float | None]:
    if not one.draws.rounds:
        return {"value": None, "low": None, "high": None}
    found = paired_difference(one, other, name)
    ends = found.value, found.interval.low, found.interval.high
    return dict(zip(("value", "low", "high"), map(_number, ends), strict=True))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
