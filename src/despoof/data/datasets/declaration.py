"""A dataset as a declaration: names of files -> samples, official counts, who to ask, and what was verified."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from despoof.data.image import IMAGE_SUFFIXES
from despoof.data.sample import Label, Sample, Split
from despoof.data.video import VIDEO_SUFFIXES
from despoof.errors import InputError

STACK_SUFFIXES = frozenset({".hdf5", ".h5"})  # videos as arrays; listed and counted, converted by their owners' tools
MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES | STACK_SUFFIXES

Counts = Mapping[tuple[Split | None, Label], int]
Allowed = Mapping[str, str]  # group of the pattern -> regular expression that its whole text must match


@dataclass(frozen=True)
class Fact:
    """One thing that is said of a dataset and where it was read; not `verified` means nobody here could check it."""

    what: str
    source: str
    verified: bool = True


def unchecked(what: str, source: str) -> Fact:
    """Return a fact that nobody here could check."""
    return Fact(what, source, verified=False)


@dataclass(frozen=True)
class Dataset:
    """One dataset. Its name is the domain of its samples.

    Each of `patterns` is matched against the end of a path without its suffix, from the start of a folder's or
    file's name. Groups they may have: ``kind`` (a key of `kinds`, "" where absent), ``split`` (a key of `splits`)
    and those of `subject`; others are for `protocols`, and labels of the sample. Where the path does not say the split,
    `people` does, by subject, or the owners' lists below the root: `split_lists` name files or their folders,
    `label_lists` hold a path, any columns, and last a key of `list_kinds`.
    """

    name: str
    title: str
    licence: str
    ask: str
    citation: str
    layout: str  # the official tree in a few words
    patterns: tuple[str, ...]
    kinds: Mapping[str, str]  # what the name says -> attack type, "none" for live
    splits: Mapping[str, Split] = field(default_factory=dict)
    people: Mapping[str, Split] = field(default_factory=dict)
    subject: str = "{subject}"  # how the groups name a person; two people never share a name
    counts: Counts = field(default_factory=dict)  # official; none: not known
    names: Callable[[], Iterable[str]] | None = None  # every official path without suffix, where names are regular
    split_lists: Mapping[str, Split] = field(default_factory=dict)  # file name -> split
    label_lists: Mapping[str, Split] = field(default_factory=dict)
    list_kinds: Mapping[str, str] = field(default_factory=dict)
    ignored: str = "(?!)"  # media that belong to it and are not used, such as other streams; this matches none
    protocols: Mapping[str, Mapping[Split, tuple[Allowed, ...]]] = field(default_factory=dict)
    refine: Callable[[Path, list[Sample]], list[Sample]] | None = None  # adds what only other files say
    facts: tuple[Fact, ...] = ()

    def sample(self, path: str) -> Sample | None:
        """Return the sample that lies at a path below the root; None if the name is not one of this dataset."""
        groups = _groups(self, path)
        if groups is None or groups.get("kind", "") not in self.kinds:
            return None
        species, subject = self.kinds[groups.get("kind", "")], self.subject.format(**groups)
        split = self.splits.get(groups.get("split", ""), self.people.get(subject))
        label = Label.LIVE if species == "none" else Label.ATTACK
        labels = tuple((key, text) for key, text in groups.items() if key not in ("official", "split", "subject"))
        return Sample(path, label, species, subject=subject, domain=self.name, split=split, labels=labels)

    def samples(self, root: str | Path, *, protocol: str | None = None) -> list[Sample]:
        """Return one sample per image or video below `root`, sorted by path; InputError if there is none.

        With an official protocol, only what it uses, in the split it uses it in.
        """
        root = Path(root)
        if not root.is_dir():
            raise InputError(f"{root} is no folder; expected the root of {self.title}. Check the path.")
        found = _with_splits(self, root, [s for s in map(self.sample, media(root)) if s])
        found = sorted({s.path: s for s in [*found, *_listed(self, root)]}.values(), key=lambda s: s.path)
        found = self.refine(root, found) if self.refine else found
        if not found:
            raise InputError(f"{root} holds nothing of {self.title}. Expected {self.layout}; give the folder above it.")
        found = [replace(sample, source=str(root.resolve())) for sample in found]
        return found if protocol is None else self._within(found, protocol)

    def _within(self, found: list[Sample], protocol: str) -> list[Sample]:
        if protocol not in self.protocols:
            known = ", ".join(self.protocols) or "none; leave it out"
            raise InputError(f"{self.name}: protocol {protocol!r}; expected one of {known}.")
        kept = []
        for sample in found:
            groups = _groups(self, sample.path) or {}
            allowed = self.protocols[protocol].get(sample.split, ())
            if any(all(re.fullmatch(text, groups.get(key, "")) for key, text in one.items()) for one in allowed):
                kept.append(sample)
        return kept


def _groups(dataset: Dataset, path: str) -> dict[str, str] | None:
    stem = path[: len(path) - len(Path(path).suffix)]
    for pattern in dataset.patterns:
        if found := re.fullmatch(rf"(?:.*/)?(?P<official>{pattern})", stem):
            return {key: text for key, text in found.groupdict().items() if text is not None}
    return None


def official_name(dataset: Dataset, path: str) -> str | None:
    """Return the part of a path that the dataset's owners gave it, without suffix."""
    groups = _groups(dataset, path)
    return None if groups is None else groups["official"]


def media(root: Path) -> Iterator[str]:
    """Yield the paths of images and videos below `root`, relative to it, sorted; hidden files are left out."""
    found = []
    for folder, _, files in os.walk(root, followlinks=True):
        inside = Path(folder).relative_to(root)
        found += [
            (inside / name).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in MEDIA_SUFFIXES
        ]
    yield from sorted(found)


def counted(samples: Iterable[Sample]) -> Counter[tuple[Split | None, Label]]:
    """Count samples per split and label."""
    return Counter((sample.split, sample.label) for sample in samples)


def _with_splits(dataset: Dataset, root: Path, found: list[Sample]) -> list[Sample]:
    """Return the samples with the split of the owners' lists, which name a file or the folder it lies in."""
    splits: dict[str, Split] = {}
    for name, split in dataset.split_lists.items():
        for where in sorted(root.rglob(name)):
            entries = (line.split()[0] for line in _text(where).splitlines() if line.strip())
            splits.update((Path(entry).name, split) for entry in entries)
    if not splits:
        return found
    return [replace(one, split=_split_of(one.path, splits) or one.split) for one in found]


def _split_of(path: str, splits: Mapping[str, Split]) -> Split | None:
    parts = (*Path(path).with_suffix("").parts, Path(path).name)
    return next((splits[part] for part in parts if part in splits), None)


def _listed(dataset: Dataset, root: Path) -> Iterator[Sample]:
    """Yield the samples of label lists; absent lists give none."""
    for name, split in dataset.label_lists.items():
        for where in sorted(root.rglob(name)):
            for path, key in _lines(where, dataset.list_kinds):
                whole = (where.parent / path).relative_to(root).as_posix()
                species = dataset.list_kinds[key]
                label = Label.LIVE if species == "none" else Label.ATTACK
                yield dataset.sample(whole) or Sample(whole, label, species, whole, dataset.name, split)


def _lines(file: Path, kinds: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_text(file).splitlines(), 1):
        columns = line.replace(",", " ").split()
        if not columns:
            continue
        if len(columns) < 2 or columns[-1] not in kinds:
            raise InputError(
                f"{file}, line {number}: {line!r}; expected a path and last one of {', '.join(kinds)}. "
                "Take the list with labels."
            )
        yield columns[0], columns[-1]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as a list ({error}). Expected UTF-8 text; copy it again.") from None
