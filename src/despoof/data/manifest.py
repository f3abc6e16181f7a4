"""Samples from a folder, a CSV or a Parquet file: disk -> list of `Sample`. Images and videos alike."""

import csv
import io
import os.path
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from despoof.data.image import IMAGE_SUFFIXES
from despoof.data.place import arrow
from despoof.data.sample import Label, Person, Sample, Split
from despoof.data.video import VIDEO_SUFFIXES
from despoof.errors import InputError

SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
COLUMNS = ("path", "label", "attack_type", "subject", "domain", "split", "simulated", "origin", "video")
FOLDERS = {"live": Label.LIVE, "attack": Label.ATTACK, "attacks": Label.ATTACK}
DELIMITERS = ",;\t|"  # comma first; spreadsheets write semicolons where the comma is the decimal sign, and tabs
SPLITS = {  # what others call a part -> ours
    "training": "train", "val": "validation", "valid": "validation", "dev": "validation", "devel": "validation",
    "development": "validation", "testing": "test", "held-out": "test",
}  # fmt: skip
NEAR = 0.75  # similarity from which a column is taken for a misspelt one: `lable`, `subject_id`; not `camera`

Row = tuple[str, dict[str, str | None]]  # where it stands, and its cells by column


def read_source(source: str | Path, *, domain: str = "", people: bool = False) -> list[Sample]:
    """Return the samples of a folder, CSV or Parquet file; `domain` and `people` are for folders, see there."""
    source = Path(source)
    if source.suffix.lower() == ".parquet":
        return from_parquet(source)
    if source.suffix.lower() in (".csv", ".tsv"):
        return from_csv(source)
    return from_folder(source, domain=domain, people=people)


def from_folder(root: str | Path, *, domain: str = "", people: bool = False) -> list[Sample]:
    """Read ``live/**`` and ``attack/[TYPE/]**`` (or ``attacks/``); each file is its own subject, as nothing says more.

    With `people` the next folder is the subject: ``live/PERSON/**`` and ``attack/TYPE/PERSON/**``.
    """
    root = Path(root)
    samples = []
    for label, path in _files(root):
        if path.suffix.lower() not in SUFFIXES:
            continue
        _, *inside, _ = path.relative_to(root).parts
        species = "none" if label is Label.LIVE else inside.pop(0) if inside else "unknown"
        name = path.relative_to(root).as_posix()
        subject = inside[0] if people and inside else _own_subject(root, name)
        samples.append(Sample(name, label, species, subject=subject, domain=domain, source=_source(root)))
    if not samples:
        raise InputError(
            f"{root} holds no images under live/ or attack/, nor videos. Expected live/*.jpg and attack/TYPE/*.jpg, "
            "or give a CSV file."
        )
    return samples


def left_out(root: str | Path) -> Counter[str]:
    """Count, by suffix, the files under ``live/`` and ``attack/`` that `from_folder` does not read."""
    found = (path.suffix.lower() for _, path in _files(Path(root)))
    return Counter(suffix or "no suffix" for suffix in found if suffix not in SUFFIXES)


def _files(root: Path) -> Iterator[tuple[Label, Path]]:
    for folder, label in FOLDERS.items():
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield label, path


def from_csv(path: str | Path) -> list[Sample]:
    """Read rows with `path,label` and optionally the other `COLUMNS`; further ones are kept as `labels`.

    UTF-8 or UTF-16 with a byte order mark; comma, semicolon, tab or bar between cells; capitals and spaces in the
    header do not count. Paths are relative to the CSV's folder. A file without a `label` column is read as all live
    (for face collections). Duplicates, short rows, near misses of a column's name, and a subject on both sides of a
    split are errors.
    """
    path = Path(path)
    try:
        text = _decoded(path.read_bytes())
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        columns = list(reader.fieldnames or [])
        rows = [(f"line {reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}). Expected UTF-8 with a header row.") from None
    return _samples(path, columns, rows)


def _decoded(data: bytes) -> str:
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def _delimiter(text: str) -> str:
    """Return what parts the cells: that which gives the header a column `path`."""
    header = text.partition("\n")[0].lower()
    found = (sign for sign in DELIMITERS if "path" in {cell.strip(' \t\r"') for cell in header.split(sign)})
    return next(found, ",")


def from_parquet(path: str | Path) -> list[Sample]:
    """Read what `from_csv` reads, from a Parquet file; needs the extra ``parquet`` (pyarrow)."""
    path, parquet = Path(path), arrow().parquet
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise InputError(f"{path} cannot be read as Parquet ({error}). Write it again or use CSV.") from None
    rows = [
        (f"row {number}", {key: "" if value is None else str(value) for key, value in row.items()})
        for number, row in enumerate(table.to_pylist(), 1)
    ]
    return _samples(path, table.column_names, rows)


def _samples(path: Path, columns: list[str], rows: list[Row]) -> list[Sample]:
    names = {column: column.strip().lower() for column in columns}
    _check_columns(path, list(names.values()))
    if not rows:
        raise InputError(f"{path} lists no sample; expected a row per file below the header. Add them.")
    samples = []
    for where, row in rows:
        if None in row or None in row.values():  # csv.DictReader's surplus and missing cells
            raise InputError(f"{path}, {where}: {len(columns)} cells expected, as in the header. Correct the row.")
        cells = {names[column]: (text or "").strip() for column, text in row.items()}
        samples.append((where, _row(cells, path.parent, f"{path}, {where}")))
    _refuse_conflicts(samples, path)
    return [sample for _, sample in samples]


def _check_columns(path: Path, names: list[str]) -> None:
    further = [name for name in names if name and name not in COLUMNS]
    for name in further:
        if near := get_close_matches(name, set(COLUMNS) - set(names), 1, NEAR):
            raise InputError(f"{path} has a column {name!r}, nearly {near[0]!r}. Rename or remove it.")
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if "path" not in names or twice:
        wrong = f"the column {twice[0]!r} twice" if twice else "no column `path`"
        raise InputError(f"{path} has {wrong} among {names}; expected `path` and any of {', '.join(COLUMNS[1:])}.")
    if "label" not in names and further:  # one of them may be the label under another name
        raise InputError(
            f"{path} has no column `label`, and {further[0]!r}, which may be one. Name it so, or, of a collection of "
            "live faces alone, remove it or add a column label, live in each row."
        )


def _row(cells: dict[str, str], root: Path, where: str) -> Sample:
    if not cells["path"]:
        raise InputError(f"{where}: no path. Correct the row.")
    path = _normal(cells["path"], root)
    split = SPLITS.get(cells.get("split", "").lower(), cells.get("split", "").lower()) or None
    if split is not None and split not in set(Split):
        known = ", ".join((*Split, *SPLITS))
        raise InputError(f"{where}: split {split!r} of {path}; expected one of {known}. Correct it.")
    told = {
        "path": path,
        "source": "" if Path(path).is_absolute() else _source(root),
        "label": cells.get("label", "live"),
        "subject": cells.get("subject") or _own_subject(root, path),
        "split": split,
        "simulated": _truth(cells.get("simulated", ""), where),
        "labels": {name: text for name, text in cells.items() if name and name not in COLUMNS},
    }
    try:
        return Sample.from_row(cells | told)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _normal(text: str, root: Path) -> str:
    """Return a path with slashes, without detours, and relative to `root` where it leads below it."""
    if "\\" in text and not (root / text).exists():  # written on Windows
        text = text.replace("\\", "/")
    if Path(text).is_absolute():
        here = os.path.normpath(text)
        inside = os.path.relpath(here, _source(root))
        return here if inside.startswith("..") else Path(inside).as_posix()
    return Path(os.path.normpath(text)).as_posix()


def _source(root: Path) -> str:
    return str(root.resolve())


def _own_subject(root: Path, path: str) -> str:
    """Return the subject of a file of which nobody is known: itself; the folder's name keeps two folders apart."""
    return f"{root.resolve().name}/{path}"


def _truth(text: str, where: str) -> bool:
    if text.lower() not in ("", "true", "false", "1", "0"):
        raise InputError(f"{where}: simulated {text!r}; expected true or false. Correct it.")
    return text.lower() in ("true", "1")


def _refuse_conflicts(samples: list[tuple[str, Sample]], path: Path) -> None:
    files: dict[str, str] = {}
    sides: dict[Person, tuple[Split, str]] = {}
    for where, sample in samples:
        if sample.file in files:
            raise InputError(
                f"{path}, {where} lists {sample.path} again, after {files[sample.file]}; expected each file once. "
                "Remove one."
            )
        files[sample.file] = where
        split, first = sides.setdefault(sample.person, (sample.split, where)) if sample.split else (None, "")
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
