"""Samples from a folder or a CSV file: disk -> list of `Sample`."""

import csv
from pathlib import Path

from despoof.data.sample import Label, Sample, Split
from despoof.errors import InputError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
COLUMNS = ("path", "label", "attack_type", "subject", "domain", "split")


def from_folder(root: str | Path, *, domain: str = "") -> list[Sample]:
    """Read ``live/**`` and ``attack/[TYPE/]**``; each file is its own subject, since a folder cannot say."""
    root = Path(root)
    samples = []
    for label in Label:
        for path in sorted((root / label.value).rglob("*")):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            parts = path.relative_to(root / label.value).parts
            species = "none" if label is Label.LIVE else parts[0] if len(parts) > 1 else "unknown"
            name = path.relative_to(root).as_posix()
            samples.append(Sample(name, label, species, subject=name, domain=domain))
    if not samples:
        raise InputError(
            f"{root} holds no images under live/ or attack/. Expected live/*.jpg and attack/TYPE/*.jpg, "
            "or give a CSV file."
        )
    return samples


def from_csv(path: str | Path) -> list[Sample]:
    """Read rows with `path,label` and optionally `attack_type,subject,domain,split`.

    Paths are relative to the CSV's folder. A file without a `label` column is read as all live (for face
    collections); duplicates and unknown columns are errors.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}). Expected UTF-8 with a header row.") from None
    unknown = sorted(set(columns) - set(COLUMNS))
    if "path" not in columns or unknown:
        raise InputError(f"{path} has columns {columns}; expected `path` and any of {', '.join(COLUMNS[1:])}.")
    if not rows:
        raise InputError(f"{path} lists no sample; expected a row per image below the header. Add them.")
    samples = [_row(row, path) for row in rows]
    _refuse_duplicates(samples, path)
    return samples


def _row(row: dict[str, str], file: Path) -> Sample:
    if not row["path"] or None in row:  # csv.DictReader keeps surplus cells under None
        raise InputError(f"{file}: row {list(row.values())} has no path or too many cells. Correct the row.")
    split = {"held-out": "test"}.get(row.get("split") or "", row.get("split") or None)
    if split is not None and split not in set(Split):
        raise InputError(f"{file}: split {split!r} of {row['path']}; expected one of {', '.join(Split)}.")
    label = (row["label"] or "") if "label" in row else "live"  # an empty cell must not pass for live
    subject = row.get("subject") or row["path"]
    return Sample.from_row({**row, "label": label, "subject": subject, "split": split})


def _refuse_duplicates(samples: list[Sample], path: Path) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.path in seen:
            raise InputError(f"{path} lists {sample.path} twice; expected each path once. Remove one.")
        seen.add(sample.path)


def refuse_shared_subjects(train: list[Sample], test: list[Sample]) -> None:
    """Raise InputError if a subject of a domain stands on both sides of a split."""
    shared = {(s.domain, s.subject) for s in train} & {(s.domain, s.subject) for s in test}
    if shared:
        domain, subject = sorted(shared)[0]
        raise InputError(
            f"subject {subject!r} of domain {domain!r} stands on both sides of the split ({len(shared)} in all); "
            "expected none. Split by subject."
        )
