"""What lies in a folder against what a dataset officially has: missing, extra, unreadable."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from despoof.data.datasets.declaration import STACK_SUFFIXES, Dataset, counted, media, official_name
from despoof.data.image import read_image
from despoof.data.sample import Label, Sample, Split
from despoof.data.video import count_frames, is_video, parse_rule, read_frames
from despoof.errors import InputError
from despoof.runs.pool import in_processes
from despoof.runs.progress import track

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
Reading = Literal["none", "first", "whole"]  # of a video: nothing, its first frame, every frame


@dataclass(frozen=True)
class Findings:
    """What a check found. `counts` maps (split, label) to (found, official); official None is not known."""

    counts: dict[tuple[Split | None, Label], tuple[int, int | None]]
    missing: tuple[str, ...] = ()  # official names that are not there
    extra: tuple[str, ...] = ()  # media that are not of the dataset, or there twice
    unreadable: tuple[tuple[str, str], ...] = ()  # path and why

    @property
    def complete(self) -> bool:
        """Say whether all is there, nothing else is, and all that was read can be read."""
        wrong = [found for found, official in self.counts.values() if official is not None and found != official]
        return not (wrong or self.missing or self.extra or self.unreadable)


def check(dataset: Dataset, root: str | Path, *, read: Reading = "first", workers: int = 2) -> Findings:
    """Compare the media below `root` with what the dataset officially has; images are always read whole."""
    root = Path(root)
    samples = dataset.samples(root)
    names = [(official_name(dataset, sample.path) or sample.path, sample.path) for sample in samples]
    extra = [path for path in media(root) if _foreign(dataset, path, {path for _, path in names})]
    seen: Counter[str] = Counter()
    for name, path in names:
        seen[name] += 1
        if seen[name] > 1:
            extra.append(path)
    missing = [] if dataset.names is None else sorted(set(dataset.names()) - set(seen))
    unreadable = [] if read == "none" else list(_unreadable(samples, read, workers))
    return Findings(_counts(dataset, samples), tuple(missing), tuple(sorted(extra)), tuple(unreadable))


def _foreign(dataset: Dataset, path: str, known: set[str]) -> bool:
    return path not in known and not re.fullmatch(dataset.ignored, path[: len(path) - len(Path(path).suffix)])


def _counts(dataset: Dataset, samples: list[Sample]) -> dict[tuple[Split | None, Label], tuple[int, int | None]]:
    found, official = counted(samples), dataset.counts
    if official and {split for split, _ in official} == {None}:  # only totals are known
        found = Counter({(None, label): sum(n for (_, it), n in found.items() if it is label) for label in Label})
    keys = sorted({*found, *official}, key=lambda key: (str(key[0]), str(key[1])))
    known = {label for _, label in official}
    return {key: (found[key], official.get(key, 0 if key[1] in known else None)) for key in keys}


def _unreadable(samples: list[Sample], read: Reading, workers: int) -> Iterator[tuple[str, str]]:
    jobs = [(sample.file, read) for sample in samples]
    reasons = track(in_processes(_reason, jobs, workers), "read files", len(jobs))
    yield from ((sample.path, reason) for sample, reason in zip(samples, reasons, strict=True) if reason)


def _reason(job: tuple[str, Reading]) -> str | None:
    """Return why a file cannot be read, or None."""
    path, read = job
    try:
        if Path(path).suffix.lower() in STACK_SUFFIXES:
            return _stack_reason(Path(path))
        if not is_video(path):
            read_image(path)
        elif read == "whole":
            count_frames(path)
        else:
            next(read_frames(path, parse_rule("first")))
    except InputError as error:
        return str(error)
    return None


def _stack_reason(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return None if file.read(8) == HDF5_MAGIC else f"{path} is no HDF5 file. Copy it again."
    except OSError as error:
        return f"{path} cannot be read ({error}). Check its permissions."
