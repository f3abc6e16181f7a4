"""Samples from a folder, a CSV or a Parquet file: disk -> list of `Sample`. Images and videos alike."""

import csv
from pathlib import Path

from despoof.data.sample import Label, Person, Sample, Split
from despoof.data.video import VIDEO_SUFFIXES
from despoof.errors import InputError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"} | VIDEO_SUFFIXES
COLUMNS = ("path", "label", "attack_type", "subject", "domain", "split", "simulated", "origin")
MANIFESTS = {".csv", ".parquet"}


def read_source(source: str | Path, *, domain: str = "") -> tuple[list[Sample], Path]:
    """Return samples and the folder that their paths are relative to; `domain` is for folders, which name none."""
    source = Path(source)
    if source.suffix.lower() == ".parquet":
        return from_parquet(source), source.parent
    if source.suffix.lower() == ".csv":
        return from_csv(source), source.parent
    return from_folder(source, domain=domain), source


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
            f"{root} holds no images under live/ or attack/, nor videos. Expected live/*.jpg and attack/TYPE/*.jpg, "
            "or give a CSV file."
        )
    return samples


def from_csv(path: str | Path) -> list[Sample]:
    """Read rows with `path,label` and optionally `attack_type,subject,domain,split`.

    Paths are relative to the CSV's folder. A file without a `label` column is read as all live (for face
    collections); duplicates, unknown columns and a subject on both sides of a split are errors.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            rows = [(f"line {reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}). Expected UTF-8 with a header row.") from None
    return _samples(path, columns, rows)


def from_parquet(path: str | Path) -> list[Sample]:
    """Read what `from_csv` reads, from a Parquet file; needs the extra ``parquet`` (pyarrow)."""
    path = Path(path)
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{path} needs pyarrow, not installed. Run: pip install 'despoof[parquet]', or use CSV."
        ) from None
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise InputError(f"{path} cannot be read as Parquet ({error}). Write it again or use CSV.") from None
    columns = table.column_names
    rows = [
        (f"row {number}", {key: None if value is None else str(value) for key, value in row.items()})
        for number, row in enumerate(table.to_pylist(), 1)
    ]
    return _samples(path, columns, rows)


def _samples(path: Path, columns: list[str], rows: list[tuple[str, dict]]) -> list[Sample]:
    unknown = sorted(set(columns) - set(COLUMNS))
    if "path" not in columns or unknown:
        wrong = f"unknown column {unknown[0]!r}" if unknown else "no column `path`"
        raise InputError(
            f"{path} has {wrong} among {columns}; expected `path` and any of {', '.join(COLUMNS[1:])}. "
            "Rename or remove it."
        )
    if not rows:
        raise InputError(f"{path} lists no sample; expected a row per file below the header. Add them.")
    samples = [(where, _row(row, f"{path}, {where}")) for where, row in rows]
    _refuse_duplicates(samples, path)
    _refuse_both_sides(samples, path)
    return [sample for _, sample in samples]


def _row(row: dict, where: str) -> Sample:
    if not row["path"] or None in row:  # csv.DictReader keeps surplus cells under None
        raise InputError(f"{where}: {list(row.values())} has no path or too many cells. Correct the row.")
    split = {"held-out": "test"}.get(row.get("split") or "", row.get("split") or None)
    if split is not None and split not in set(Split):
        raise InputError(f"{where}: split {split!r} of {row['path']}; expected one of {', '.join(Split)}. Correct it.")
    label = (row["label"] or "") if "label" in row else "live"  # an empty cell must not pass for live
    subject = row.get("subject") or row["path"]
    try:
        return Sample.from_row({**row, "label": label, "subject": subject, "split": split})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _refuse_duplicates(samples: list[tuple[str, Sample]], path: Path) -> None:
    seen: dict[str, str] = {}
    for where, sample in samples:
        if sample.path in seen:
            raise InputError(
                f"{path}, {where} lists {sample.path} again, after {seen[sample.path]}; expected each path once. "
                "Remove one."
            )
        seen[sample.path] = where


def _refuse_both_sides(samples: list[tuple[str, Sample]], path: Path) -> None:
    sides: dict[Person, tuple[Split, str]] = {}
    for where, sample in samples:
        if sample.split is None:
            continue
        split, first = sides.setdefault(sample.person, (sample.split, where))
        if split is not sample.split:
            raise InputError(
                f"{path}, {where}: subject {sample.subject!r} is in {sample.split}, and in {split} at {first}; "
                "expected one split a person. Move all their rows to one."
            )


def refuse_shared_subjects(train: list[Sample], test: list[Sample]) -> None:
    """Raise InputError if a person, in own captures or in recaptures, stands on both sides of a split."""
    shared = {sample.person for sample in train} & {sample.person for sample in test}
    if shared:
        domain, subject = sorted(shared)[0]
        raise InputError(
            f"subject {subject!r} of domain {domain!r} stands on both sides of the split ({len(shared)} in all); "
            "expected none. Split by subject."
        )
