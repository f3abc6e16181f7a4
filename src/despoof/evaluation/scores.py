"""Score files: what a model said of each presentation, and the facts of the run that made it.

A score file is UTF-8 CSV whose first line is ``# `` and a JSON object of facts, so that scores and facts
cannot be parted. Liveness is written to full precision; an empty liveness is a non-response with its reason.
"""

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from despoof.data.sample import Label, Sample, Split, parse_label
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.intervals import Scores
from despoof.metrics import by_species
from despoof.runs.folder import write_text

FORMAT = "despoof-scores/2"
REQUIRED_FACTS = ("protocol", "cell", "model", "seed", "split", "thresholds")


@dataclass(frozen=True)
class ScoreRow:
    """One presentation: what it was and its liveness, or None and the reason why there is none.

    `key` is the sample's: paths are relative to a folder, and two folders may hold the same ones.
    """

    path: str
    subject: str
    domain: str
    label: Label
    attack_type: str
    liveness: float | None
    reason: str = ""
    key: str = ""  # of the sample; of its path alone where none is given

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", Sample(self.path, self.label, self.attack_type).key)
        if self.liveness is None and not self.reason:
            raise InputError(f"{self.path} has neither liveness nor reason; expected one. Name the reason.")
        if self.liveness is not None and (self.reason or not math.isfinite(self.liveness)):
            raise InputError(
                f"{self.path} has liveness {self.liveness!r} and reason {self.reason!r}; expected a finite "
                "number without a reason. Write a non-response as None with its reason."
            )
        if self.label is Label.LIVE and self.attack_type != "none":
            raise InputError(f"{self.path} is live with attack_type {self.attack_type!r}; expected 'none'.")

    @classmethod
    def from_sample(cls, sample: Sample, liveness: float | None, reason: str = "") -> "ScoreRow":
        """Return the row of a sample."""
        facts = (sample.path, sample.subject, sample.domain, sample.label, sample.attack_type)
        return cls(*facts, liveness, reason, sample.key)


@dataclass(frozen=True)
class ScoreFile:
    """Rows and facts of one model on one split.

    Facts: protocol, cell, model, seed, split ("validation" or "test"), and `thresholds`, a dict name ->
    {"value", "origin"} that says where each was fixed. Runs add their identity, weights hashes, commit, versions.
    """

    rows: tuple[ScoreRow, ...]
    facts: dict

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED_FACTS if name not in self.facts]
        if missing:
            raise InputError(f"score file lacks {missing[0]!r}; expected the facts {', '.join(REQUIRED_FACTS)}.")
        if self.facts["split"] not in (Split.VALIDATION, Split.TEST):
            raise InputError(f"split {self.facts['split']!r}; expected 'validation' or 'test'. Name it.")
        for name, threshold in self.facts["thresholds"].items():
            if not isinstance(threshold, dict) or not {"value", "origin"} <= set(threshold):
                raise InputError(f"threshold {name!r} is {threshold!r}; expected a dict of value and origin.")
        seen: set[str] = set()
        for row in self.rows:
            if row.key in seen:
                raise InputError(f"score file lists {row.path} twice; expected each sample once. Remove one.")
            seen.add(row.key)

    @property
    def presented(self) -> frozenset[tuple[str, str, Label]]:
        """What was presented, wherever the files lie: domain, path and label of each row."""
        return frozenset((row.domain, row.path, row.label) for row in self.rows)

    def labelled(self, label: Label) -> list[ScoreRow]:
        """Return the rows of one label, non-responses included."""
        return [row for row in self.rows if row.label is label]

    def liveness(self, label: Label) -> np.ndarray:
        """Return the liveness of one label's responses, (N,)."""
        return np.array([row.liveness for row in _answered(self.labelled(label))], np.float64)

    def attacks(self) -> dict[str, np.ndarray]:
        """Return the liveness of answered attacks by species, in alphabetic order."""
        answered = _answered(self.labelled(Label.ATTACK))
        return by_species(self.liveness(Label.ATTACK), [row.attack_type for row in answered])

    def unanswered(self, label: Label) -> int:
        """Count the non-responses of one label."""
        return sum(row.liveness is None for row in self.labelled(label))

    def scores(self) -> Scores:
        """Return responses with their subjects; a subject's name is kept apart between domains."""
        live, attack = _answered(self.labelled(Label.LIVE)), _answered(self.labelled(Label.ATTACK))
        return Scores(self.liveness(Label.LIVE), self.liveness(Label.ATTACK), _subjects(live), _subjects(attack))

    def threshold(self, name: str) -> float:
        """Return a recorded threshold; one that was never fixed is an error and not a default."""
        if name not in self.facts["thresholds"]:
            known = ", ".join(self.facts["thresholds"]) or "none"
            raise InputError(f"threshold {name!r} is not recorded; known: {known}. Run the cell again.")
        return float(self.facts["thresholds"][name]["value"])


def write_scores(path: str | Path, scores: ScoreFile) -> None:
    """Write a score file atomically."""
    text = io.StringIO()
    text.write(f"# {json.dumps({'format': FORMAT} | scores.facts, ensure_ascii=False, allow_nan=False)}\n")
    writer = csv.DictWriter(text, [field.name for field in fields(ScoreRow)], lineterminator="\n")
    writer.writeheader()
    for row in scores.rows:
        liveness = "" if row.liveness is None else repr(float(row.liveness))
        writer.writerow(asdict(row) | {"label": row.label.value, "liveness": liveness})
    write_text(path, text.getvalue())


def read_scores(path: str | Path) -> ScoreFile:
    """Read and check what `write_scores` wrote; anything else is an ArtefactError."""
    path = Path(path)
    try:
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
        facts = json.loads(first.removeprefix("# "))
        if not first.startswith("# ") or not isinstance(facts, dict) or facts.pop("format", "") != FORMAT:
            raise ValueError(f"its first line is not '# ' and the facts of format {FORMAT}")
        return ScoreFile(tuple(_rows(rest)), facts)
    except FileNotFoundError:
        raise ArtefactError(f"score file {path} does not exist. Run its cell first.") from None
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:  # InputError is a ValueError
        raise ArtefactError(
            f"score file {path} is not usable ({error}); expected a file that the runner wrote. "
            "Delete it and run its cell again."
        ) from None


def _rows(text: str) -> Iterable[ScoreRow]:
    names = [field.name for field in fields(ScoreRow)]
    reader = csv.DictReader(io.StringIO(text), strict=True)
    if reader.fieldnames != names:
        raise ValueError(f"its columns are {reader.fieldnames}, not {names}")
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"row {reader.line_num} has too many or too few fields")
        liveness = float(row["liveness"]) if row["liveness"] else None
        yield ScoreRow(**{**row, "label": parse_label(row["label"]), "liveness": liveness})


def _answered(rows: list[ScoreRow]) -> list[ScoreRow]:
    return [row for row in rows if row.liveness is not None]


def _subjects(rows: list[ScoreRow]) -> list[str]:
    return [f"{row.domain}/{row.subject}" for row in rows]
