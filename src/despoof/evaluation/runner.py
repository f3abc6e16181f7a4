"""Run a protocol: rows of a store and a model -> score files, cell by cell and seed by seed, resumable.

    ROOT/scores/PROTOCOL/MODEL/CELL-seedK-validation.csv, ...-test.csv
    ROOT/fits/PROTOCOL/MODEL/CELL-seedK/       what fitting leaves there

The runner knows no detector: a model is a function that fits. That function is handed the sources alone.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from despoof.data.sample import Label, Split
from despoof.data.store import StoredSample
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.protocols import Cell, Protocol, split_by_subject
from despoof.evaluation.results import ScoreFile, ScoreRow, read_scores, software_facts, write_scores
from despoof.metrics import eer

Rows = list[StoredSample]
Score = Callable[[Rows], np.ndarray]  # rows -> liveness (N,), NaN where there is no answer
Fit = Callable[[Rows, Rows, int, Path], Score]  # train rows, validation rows, seed, folder -> score


@dataclass(frozen=True)
class Model:
    """What is measured: a name for its files, how it is fitted, and facts that make it another model.

    `facts` are JSON values such as `config_hash` and `weights_hash`; files made with others are refused.
    """

    name: str
    fit: Fit
    facts: dict = field(default_factory=dict)


def untrained(name: str, score: Score, facts: dict | None = None) -> Model:
    """Return a model that learns nothing."""
    return Model(name, lambda train, validation, seed, folder: score, facts or {})


def run_protocol(
    protocol: Protocol, rows: Rows, model: Model, root: str | Path, *, seeds: Sequence[int] = (0,)
) -> list[Path]:
    """Return the test score files of every cell and seed; a cell whose two files exist is not run again."""
    jobs = [_Job(protocol, cell, model, seed) for cell in protocol.cells for seed in seeds]
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
    facts |= software_facts()
    found = _scored(score, validation)
    facts["thresholds"] = {"source_eer": _source_eer(found)}
    write_scores(paths[Split.VALIDATION], ScoreFile(found, facts | {"split": Split.VALIDATION.value}))
    write_scores(paths[Split.TEST], ScoreFile(_scored(score, test), facts | {"split": Split.TEST.value}))
    return paths[Split.TEST]


def _parts(job: _Job, rows: Rows) -> tuple[Rows, Rows, Rows]:
    cell = job.cell
    known = {row.sample.domain for row in rows}
    missing = sorted({*cell.sources, cell.target} - known)
    if missing:
        raise InputError(
            f"cell {cell.name!r} needs domain {missing[0]!r}; the store has {', '.join(sorted(known))}. "
            "Prepare it first."
        )
    sources = [row for row in rows if row.sample.domain in cell.sources]
    _, held = split_by_subject([row.sample for row in sources], job.protocol.validation, job.seed)
    paths = {sample.path for sample in held}
    train = [row for row in sources if row.sample.path not in paths]
    validation = [row for row in sources if row.sample.path in paths]
    return train, validation, [row for row in rows if row.sample.domain == cell.target]


def _facts(job: _Job, rows: Rows) -> dict:
    facts = {
        "protocol": job.protocol.name,
        "cell": job.cell.name,
        "sources": list(job.cell.sources),
        "target": job.cell.target,
        "validation": job.protocol.validation,
        "model": job.model.name,
        "seed": job.seed,
        "data_hash": _data_hash(rows),
    }
    clash = sorted({*facts, "split", "thresholds", "versions", "commit"} & set(job.model.facts))
    if clash:
        raise InputError(f"model fact {clash[0]!r} is the runner's own; expected another name. Rename it.")
    return facts | json.loads(json.dumps(job.model.facts))


def _data_hash(rows: Rows) -> str:
    text = "\n".join(sorted(json.dumps(row.sample.as_row() | {"outcome": row.outcome}) for row in rows))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


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


def _scored(score: Score, rows: Rows) -> tuple[ScoreRow, ...]:
    faces = _with_face(rows)
    liveness = np.asarray(score(faces), np.float64)
    if liveness.shape != (len(faces),) or np.isinf(liveness).any():
        raise InputError(
            f"score returned shape {liveness.shape}, infinite: {bool(np.isinf(liveness).any())}; expected "
            f"({len(faces)},) of finite numbers or NaN. Correct the model's score function."
        )
    said = {row.sample.path: float(value) for row, value in zip(faces, liveness, strict=True)}
    return tuple(_score_row(row, said.get(row.sample.path)) for row in rows)


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
