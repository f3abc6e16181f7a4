"""Run a protocol: rows of a store and models -> score files, cell by cell and seed by seed, resumable.

    ROOT/scores/PROTOCOL/MODEL/CELL-seedK-validation.csv (where there is such a part), ...-test.csv
    ROOT/fits/PROTOCOL/MODEL/CELL-seedK/       what fitting leaves there

The runner knows no detector: a model is a function that fits. That function is handed the sources alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from despoof.data.manifest import refuse_shared_subjects
from despoof.data.sample import Label, Sample, Split
from despoof.data.split import split_by_subject
from despoof.errors import InputError
from despoof.evaluation.protocols import CROSS_FITTED, Cell, Protocol
from despoof.evaluation.scores import ScoreFile, ScoreRow, read_scores, write_scores
from despoof.faces.store import Store, StoredSample
from despoof.metrics import eer
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import config_hash, to_dict
from despoof.runs.folder import held, remove_left
from despoof.runs.identity import Identity, provenance

Rows = list[StoredSample]
Score = Callable[[Rows], np.ndarray]  # rows -> liveness (N,), NaN where there is no answer
Fit = Callable[[Rows, Rows, int, Path], Score]  # train rows, validation rows, seed, folder -> score


@dataclass(frozen=True)
class Model:
    """What is measured: a name for its files, how it is fitted, and what makes it another model.

    `config` holds JSON values that change its scores, `parents` the hashes of files that it starts from, by role.
    """

    name: str
    fit: Fit
    config: dict = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    seeded: bool = True  # another seed gives other scores; False: seed 0 alone is run
    ready: Callable[[], object] | None = None  # reads what fitting needs, and raises where it lacks


def untrained(name: str, score: Score, parents: dict[str, str] | None = None) -> Model:
    """Return a model that learns nothing."""
    return Model(name, lambda train, validation, seed, folder: score, parents=parents or {}, seeded=False)


class _Parts(NamedTuple):
    """The rows of one cell and seed."""

    train: Rows
    validation: Rows
    test: Rows


@dataclass(frozen=True)
class _Run:
    """One model in one cell with one seed."""

    model: Model
    seed: int
    parts: _Parts
    unit: str
    identity: Identity
    folder: Path  # of what fitting leaves
    files: dict[Split, Path]


def run_protocol(
    protocol: Protocol,
    rows: Rows,
    models: Sequence[Model],
    root: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    cells: Sequence[str] | None = None,
    elsewhere: Callable[[list[tuple[str, str, int]]], None] | None = None,
) -> list[Path]:
    """Return the test score files of every model, cell and seed; one whose files exist is not run again.

    Whatever cannot run, and files of another identity, are refused before anything runs. `cells` names some of the
    cells: several machines can share a protocol, and its files are brought together. `elsewhere` is given (model, cell,
    seed) of all that is to be run, and runs each by a call of this for it alone; without it they run here.
    """
    unknown = sorted(set(cells or ()) - {cell.name for cell in protocol.cells})
    if unknown:
        known = ", ".join(cell.name for cell in protocol.cells)
        raise InputError(f"cell {unknown[0]!r} is none of {protocol.name}; expected {known}. Correct the name.")
    chosen = [cell for cell in protocol.cells if cells is None or cell.name in cells]
    wanted = sorted({0, *seeds} if not all(model.seeded for model in models) else set(seeds))
    parts = {(cell.name, seed): _parts(protocol, cell, rows, seed) for cell in chosen for seed in wanted}
    hashes = {key: Store.data_hash([*part.train, *part.validation, *part.test]) for key, part in parts.items()}
    runs = [
        _run(protocol, cell, model, seed, parts[cell.name, seed], hashes[cell.name, seed], Path(root))
        for model in models
        for cell in chosen
        for seed in (seeds if model.seeded else (0,))
    ]
    unfinished = [run for run in runs if not _is_finished(run)]  # a list: all are checked before the first begins
    for model in models:
        if model.ready is not None and any(run.model is model for run in unfinished):
            model.ready()
    if elsewhere is not None:
        elsewhere([(run.model.name, run.identity.config["cell"], run.seed) for run in unfinished])
    else:
        for run in unfinished:
            _fit_and_score(run)
    return [run.files[Split.TEST] for run in runs]


def _parts(protocol: Protocol, cell: Cell, rows: Rows, seed: int) -> _Parts:
    known = {row.sample.domain for row in rows if not row.sample.simulated}
    missing = sorted({*cell.train.domains, *cell.test.domains} - known)
    if missing:
        raise InputError(
            f"cell {cell.name!r} needs domain {missing[0]!r}; the store has real captures of "
            f"{', '.join(sorted(known))}. Prepare it first; simulated ones are asked for by the protocol's `simulated`."
        )
    rows = [row for row in rows if protocol.uses(row.sample)]
    if protocol.unit == "video mean":
        _refuse_mixed(rows)
    tested = rows
    if cell.held_subjects:  # the same people for every seed, or seeds could not be compared
        rows, tested = _apart(rows, cell.held_subjects, 0)
    sources = [row for row in rows if cell.train.holds(row.sample)]
    if protocol.simulated == "all" and not any(row.sample.simulated for row in sources):
        raise InputError(
            f"protocol {protocol.name!r} learns from simulated captures and the store has none. Make some with "
            "`despoof simulate` and prepare them into it."
        )
    test = [row for row in tested if cell.test.holds(row.sample)]
    if cell.validation is not None:
        train, validation = sources, [row for row in rows if cell.validation.holds(row.sample)]
    else:
        train, validation = _apart(sources, protocol.validation, seed) if protocol.validation else (sources, [])
    if protocol.learned_subjects < 1:
        _, train = _apart(train, protocol.learned_subjects, seed)
    validation = [row for row in validation if row.sample.domain not in protocol.learned_only]
    people = [[row.sample for row in part] for part in (train, validation, test)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        refuse_shared_subjects(people[i], people[j])
    return _Parts(train, validation, test)


def _refuse_mixed(rows: Rows) -> None:
    """Raise InputError if frames of one video have both labels."""
    labels: dict[str, Label] = {}
    for row in rows:
        video = row.sample.presentation
        if labels.setdefault(video.key, video.label) is not video.label:
            raise InputError(f"{video.path} has live and attack frames; expected one label. Correct it and prepare.")


def _apart(rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    _, held = split_by_subject([row.sample for row in rows], share, seed)
    keys = {sample.key for sample in held}
    return [row for row in rows if row.key not in keys], [row for row in rows if row.key in keys]


def _run(protocol: Protocol, cell: Cell, model: Model, seed: int, parts: _Parts, data: str, root: Path) -> _Run:
    rules = {name: value for name, value in to_dict(protocol).items() if name not in ("name", "title", "cells")}
    config = rules | {
        "protocol": protocol.name,
        "cell": cell.name,
        "sources": list(cell.train.domains),
        "target": cell.target,
        "model": model.name,
        "seed": seed,
    }
    stem, inside = f"{cell.name}-seed{seed}", Path(protocol.name) / model.name
    splits = (Split.TEST,) if protocol.threshold == CROSS_FITTED else (Split.VALIDATION, Split.TEST)
    return _Run(
        model,
        seed,
        parts,
        protocol.unit,
        Identity("evaluate", config | {"recipe": model.config}, data, model.parents),
        root / "fits" / inside / stem,
        {split: root / "scores" / inside / f"{stem}-{split.value}.csv" for split in splits},
    )


def _is_finished(run: _Run) -> bool:
    """Say whether its files are there; one of another identity is an error, never overwritten unasked."""
    present = [path for path in run.files.values() if path.exists()]
    for path in present:
        run.identity.require(read_scores(path).facts.get("identity"), path)
    return len(present) == len(run.files)


def _fit_and_score(run: _Run) -> None:
    """Fit on the sources, fix the threshold on their validation part if there is one, score the target."""
    with held(run.folder):
        for path in run.files.values():
            remove_left(path.parent, f"{path.stem[:40]}-????????{path.suffix}")
        _fit_and_score_alone(run)


def _fit_and_score_alone(run: _Run) -> None:
    score = run.model.fit(_with_face(run.parts.train), _with_face(run.parts.validation), run.seed, run.folder)
    config = run.identity.config
    facts = {name: value for name, value in config.items() if name != "recipe"} | {
        "data_hash": run.identity.data,
        "config_hash": config_hash(config["recipe"]),
        "counterparts": run.identity.parents.get("generator"),
        "weights_hash": {path.name: file_hash(path) for path in sorted(run.folder.glob("*.safetensors"))},
        "thresholds": {},
        **provenance(run.identity),
    }
    parts = {Split.VALIDATION: run.parts.validation, Split.TEST: run.parts.test}
    found = {split: _scored(score, parts[split], run.unit) for split in run.files}
    if Split.VALIDATION in found:
        validated = ScoreFile(found[Split.VALIDATION], facts | {"split": Split.VALIDATION.value})
        value, threshold = eer(validated.liveness(Label.LIVE), validated.liveness(Label.ATTACK))
        origin = "equal error rate on the validation part of the sources"
        facts["thresholds"] = {"source_eer": {"value": threshold, "origin": origin, "eer": value}}
    for split, path in run.files.items():
        write_scores(path, ScoreFile(found[split], facts | {"split": split.value}))


def _with_face(rows: Rows) -> Rows:
    return [row for row in rows if row.outcome == "face"]


def _scored(score: Score, rows: Rows, unit: str) -> tuple[ScoreRow, ...]:
    faces = _with_face(rows)
    liveness = np.asarray(score(faces), np.float64)
    if liveness.shape != (len(faces),) or np.isinf(liveness).any():
        raise InputError(
            f"score returned shape {liveness.shape}, infinite: {bool(np.isinf(liveness).any())}; expected "
            f"({len(faces)},) of finite numbers or NaN. Correct the model's score function."
        )
    liveness_of = {row.key: float(value) for row, value in zip(faces, liveness, strict=True)}
    presentations: dict[str, list[StoredSample]] = {}
    for row in rows:
        sample = row.sample.presentation if unit == "video mean" else row.sample
        presentations.setdefault(sample.key, []).append(row)
    return tuple(_score_row(frames, liveness_of, unit) for frames in presentations.values())


def _score_row(frames: list[StoredSample], liveness_of: dict[str, float], unit: str) -> ScoreRow:
    """Return the row of a presentation: the mean over its frames that have an answer, or why none has."""
    sample: Sample = frames[0].sample.presentation if unit == "video mean" else frames[0].sample
    answers = [liveness_of[frame.key] for frame in frames if not np.isnan(liveness_of.get(frame.key, np.nan))]
    if answers:
        return ScoreRow.from_sample(sample, float(np.mean(answers)))
    return ScoreRow.from_sample(sample, None, "no_score" if frames[0].key in liveness_of else frames[0].outcome)
