"""Run a protocol: rows of a store and a model -> score files, cell by cell and seed by seed, resumable.

    ROOT/scores/PROTOCOL/MODEL/CELL-seedK-validation.csv, ...-test.csv
    ROOT/fits/PROTOCOL/MODEL/CELL-seedK/       what fitting leaves there

The runner knows no detector: a model is a function that fits. That function is handed the sources alone.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from despoof.data.manifest import refuse_shared_subjects
from despoof.data.sample import Label, Sample, Split
from despoof.data.split import split_by_subject
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.protocols import Cell, Protocol
from despoof.evaluation.scores import ScoreFile, ScoreRow, read_scores, write_scores
from despoof.faces.store import Store, StoredSample
from despoof.metrics import eer
from despoof.runs.checkpoint import file_hash
from despoof.runs.identity import software

Rows = list[StoredSample]
Score = Callable[[Rows], np.ndarray]  # rows -> liveness (N,), NaN where there is no answer
Fit = Callable[[Rows, Rows, int, Path], Score]  # train rows, validation rows, seed, folder -> score


@dataclass(frozen=True)
class Model:
    """What is measured: a name for its files, how it is fitted, and facts that make it another model.

    `facts` are JSON values such as `config_hash`; files made with others are refused.
    """

    name: str
    fit: Fit
    facts: dict = field(default_factory=dict)


def untrained(name: str, score: Score, facts: dict | None = None) -> Model:
    """Return a model that learns nothing."""
    return Model(name, lambda train, validation, seed, folder: score, facts or {})


def run_protocol(
    protocol: Protocol,
    rows: Rows,
    model: Model,
    root: str | Path,
    *,
    seeds: Sequence[int] = (0,),
    cells: Sequence[str] | None = None,
) -> list[Path]:
    """Return the test score files of every cell and seed; a cell whose two files exist is not run again.

    `cells` names some of the cells: several machines can share a protocol, and its files are brought together.
    """
    unknown = sorted(set(cells or ()) - {cell.name for cell in protocol.cells})
    if unknown:
        known = ", ".join(cell.name for cell in protocol.cells)
        raise InputError(f"cell {unknown[0]!r} is none of {protocol.name}; expected {known}. Correct the name.")
    chosen = [cell for cell in protocol.cells if cells is None or cell.name in cells]
    jobs = [_Job(protocol, cell, model, seed) for cell in chosen for seed in seeds]
    return [_run_cell(job, rows, Path(root)) for job in jobs]


@dataclass(frozen=True)
class _Job:
    protocol: Protocol
    cell: Cell
    model: Model
    seed: int

    @property
    def stem(self) -> Path:
        return Path(self.protocol.name) / self.model.name / f"{self.cell.name}-seed{self.seed}"


def _run_cell(job: _Job, rows: Rows, root: Path) -> Path:
    """Fit on the sources, fix the threshold on their validation part, score the target; return its file."""
    train, validation, test = _parts(job, rows)
    facts = _facts(job, train + validation + test)
    paths = {split: _score_path(root, job, split) for split in (Split.VALIDATION, Split.TEST)}
    present = [_matches(path, facts, split) for split, path in paths.items()]  # a list: both are checked
    if all(present):
        return paths[Split.TEST]
    folder = root / "fits" / job.stem
    folder.mkdir(parents=True, exist_ok=True)
    score = job.model.fit(_with_face(train), _with_face(validation), job.seed, folder)
    facts |= software()
    facts["weights_hash"] = {path.name: file_hash(path) for path in sorted(folder.glob("*.safetensors"))}
    unit = job.protocol.unit
    found = _scored(score, validation, unit)
    facts["thresholds"] = {"source_eer": _source_eer(found)}
    write_scores(paths[Split.VALIDATION], ScoreFile(found, facts | {"split": Split.VALIDATION.value}))
    write_scores(paths[Split.TEST], ScoreFile(_scored(score, test, unit), facts | {"split": Split.TEST.value}))
    return paths[Split.TEST]


def _parts(job: _Job, rows: Rows) -> tuple[Rows, Rows, Rows]:
    """Return the rows of training, validation and test."""
    cell, protocol = job.cell, job.protocol
    known = {row.sample.domain for row in rows}
    missing = sorted({*cell.train.domains, *cell.test.domains} - known)
    if missing:
        raise InputError(
            f"cell {cell.name!r} needs domain {missing[0]!r}; the store has {', '.join(sorted(known))}. "
            "Prepare it first."
        )
    rows = [row for row in rows if protocol.uses(row.sample)]
    tested = rows
    if cell.held_subjects:  # the same people for every seed, or seeds could not be compared
        rows, tested = _apart(rows, cell.held_subjects, 0)
    sources = [row for row in rows if cell.train.holds(row.sample)]
    test = [row for row in tested if cell.test.holds(row.sample)]
    if cell.validation is not None:
        train, validation = sources, [row for row in rows if cell.validation.holds(row.sample)]
        refuse_shared_subjects([row.sample for row in train], [row.sample for row in validation])
    else:
        train, validation = _apart(sources, protocol.validation, job.seed)
    if protocol.learned_subjects < 1:
        _, train = _apart(train, protocol.learned_subjects, job.seed)
    validation = [row for row in validation if row.sample.domain not in protocol.learned_only]
    refuse_shared_subjects([row.sample for row in train + validation], [row.sample for row in test])
    return train, validation, test


def _apart(rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    _, held = split_by_subject([row.sample for row in rows], share, seed)
    keys = {sample.key for sample in held}
    return [row for row in rows if row.key not in keys], [row for row in rows if row.key in keys]


def _facts(job: _Job, rows: Rows) -> dict:
    protocol = job.protocol
    facts = {
        "protocol": protocol.name,
        "cell": job.cell.name,
        "sources": list(job.cell.train.domains),
        "target": job.cell.target,
        "frames": protocol.frames,
        "unit": protocol.unit,
        "selection": protocol.selection,
        "threshold_from": protocol.threshold,
        "validation": protocol.validation,
        "model": job.model.name,
        "seed": job.seed,
        "data_hash": Store.data_hash(rows),
    }
    if protocol.learned_subjects < 1:  # only then, so that files from before this rule keep their facts
        facts["learned_subjects"] = protocol.learned_subjects
    if protocol.learned_only:
        facts["learned_only"] = list(protocol.learned_only)
    clash = sorted({*facts, "split", "thresholds", "versions", "commit", "weights_hash"} & set(job.model.facts))
    if clash:
        raise InputError(f"model fact {clash[0]!r} is the runner's own; expected another name. Rename it.")
    return facts | json.loads(json.dumps(job.model.facts))


def _score_path(root: Path, job: _Job, split: Split) -> Path:
    return root / "scores" / job.stem.parent / f"{job.stem.name}-{split.value}.csv"


def _matches(path: Path, facts: dict, split: Split) -> bool:
    """Say whether the file is there; one made from other facts is an error, never overwritten unasked."""
    if not path.exists():
        return False
    found = read_scores(path).facts
    for name, value in (facts | {"split": split.value}).items():
        if found.get(name) != value:
            raise ArtefactError(
                f"{path} was made with {name} {found.get(name)!r}, now asked for {value!r}. "
                "Delete it, or give the model another name."
            )
    return True


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
    said = {row.key: float(value) for row, value in zip(faces, liveness, strict=True)}
    found = [_score_row(row, said.get(row.key)) for row in rows]
    return _video_means(rows, found) if unit == "video mean" else tuple(found)


def _video_means(rows: Rows, found: list[ScoreRow]) -> tuple[ScoreRow, ...]:
    """Return one row per presentation: the mean over its frames that have an answer."""
    videos: dict[Sample, list[ScoreRow]] = {}
    for row, each in zip(rows, found, strict=True):
        videos.setdefault(row.sample.presentation, []).append(each)
    means = []
    for whole, frames in videos.items():
        answers = [row.liveness for row in frames if row.liveness is not None]
        liveness = float(np.mean(answers)) if answers else None
        means.append(ScoreRow.from_sample(whole, liveness, "" if answers else frames[0].reason))
    return tuple(means)


def _score_row(row: StoredSample, liveness: float | None) -> ScoreRow:
    if liveness is None:
        return ScoreRow.from_sample(row.sample, None, row.outcome)
    if np.isnan(liveness):
        return ScoreRow.from_sample(row.sample, None, "no_score")
    return ScoreRow.from_sample(row.sample, liveness)


def _source_eer(rows: tuple[ScoreRow, ...]) -> dict:
    by_label = {
        label: np.array([row.liveness for row in rows if row.label is label and row.liveness is not None])
        for label in Label
    }
    value, threshold = eer(by_label[Label.LIVE], by_label[Label.ATTACK])
    return {
        "value": threshold,
        "origin": "equal error rate on the validation part of the sources",
        "eer": value,
    }
