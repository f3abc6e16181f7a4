"""`despoof data`: known datasets, a check of what lies on disk, and a search for leaks between parts."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from despoof.cli.options import Place

if TYPE_CHECKING:
    import numpy as np

    from despoof.data.datasets.check import Findings
    from despoof.data.sample import Sample

SHOWN = 20  # of each kind of finding; the rest is counted


def list_datasets(name: str | None = None) -> None:
    """Print the datasets that this package reads; with a name, all that is known of one and from where.

    Args:
        name: of one dataset, such as oulu-npu.
    """
    from despoof.data.datasets import DATASETS, load_dataset

    if name is None:
        for dataset in map(load_dataset, DATASETS):
            known = {label for _, label in dataset.counts}  # live alone is no total
            total = sum(dataset.counts.values()) if len(known) == 2 else "?"
            doubts = sum(not fact.verified for fact in dataset.facts)
            print(f"{dataset.name:16} {total!s:>6} files, {doubts} doubts  {dataset.title}; {dataset.licence}")
        return
    dataset = load_dataset(name)
    print(
        f"{dataset.title}\n  licence    {dataset.licence}\n  ask        {dataset.ask}\n  cite       {dataset.citation}"
    )
    print(f"  layout     {dataset.layout}\n  protocols  {', '.join(dataset.protocols) or 'none'}")
    for (split, label), count in dataset.counts.items():
        print(f"  official   {split or 'all'} {label}: {count}")
    for fact in dataset.facts:
        print(f"  {'verified' if fact.verified else 'NOT VERIFIED'}: {fact.what} ({fact.source})")


def check(
    name: str, root: Path, *, read: Literal["none", "first", "whole"] = "first", workers: int = 2
) -> None:  # fmt: skip
    """Compare what lies in a folder with the dataset's official counts; exit status 1 if anything is off.

    Args:
        name: of a dataset; `despoof data list` has them.
        root: folder of the dataset.
        read: of every video, nothing, its first frame, or every frame; images are read unless none.
        workers: processes that read.
    """
    from despoof.data.datasets import load_dataset
    from despoof.data.datasets.check import check as run

    findings = run(load_dataset(name), root, read=read, workers=workers)
    _print_findings(findings)
    sys.exit(0 if findings.complete else 1)


def _print_findings(findings: "Findings") -> None:
    for (split, label), (found, official) in findings.counts.items():
        against = "official number not known" if official is None else f"official {official}"
        sign = "!!" if official is not None and found != official else "  "
        print(f"{sign} {split or 'all':10} {label:6} {found:7}  {against}")
    _print_some("missing", findings.missing)
    _print_some("extra", findings.extra)
    _print_some("unreadable", [reason for _, reason in findings.unreadable])
    print("complete" if findings.complete else "not complete")


def _print_some(title: str, lines: Sequence[str]) -> None:
    if lines:
        print(f"!! {title}: {len(lines)}")
    for line in lines[:SHOWN]:
        print(f"   {line}")
    if len(lines) > SHOWN:
        print(f"   and {len(lines) - SHOWN} more")


def leaks(source: Place, *, limit: int = 4, images: bool = True) -> None:
    """Find people in more than one split and near-duplicate pictures between splits, domains or people.

    Exit status 1 if there is any. Of a store, prepared faces are compared; of a CSV, Parquet file or folder,
    whole pictures, and of a video its first frame.

    Args:
        source: a store, or a URI of shards of one, or what `despoof prepare` takes.
        limit: of 64 bits of the perceptual hash, how many may differ in a near duplicate.
        images: compare pictures too, not only names.
    """
    from despoof.data.leaks import image_hash, image_leaks, subject_leaks
    from despoof.errors import InputError

    if not 0 <= limit <= 16:
        raise InputError(f"limit {limit}; expected 0 to 16 bits, beyond which different people are alike. Try 4.")
    samples, pictures = _pictures(source)
    people = subject_leaks(samples)
    _print_some(
        "people in more than one split",
        [f"{leak.subject} of {leak.domain or '-'}: {', '.join(map(' '.join, leak.splits.items()))}" for leak in people],
    )
    pairs = []
    if images:
        found = [(sample, image_hash(picture)) for sample, picture in pictures if picture is not None]
        pairs = image_leaks([sample for sample, _ in found], [key for _, key in found], limit=limit)
        print(f"compared {len(found)} of {len(samples)} pictures; the others have none that can be read")
    for kind in ("split", "domain", "subject"):
        same = [leak for leak in pairs if leak.kind == kind]
        lines = [f"{leak.distance} bits: {leak.one.path} | {leak.other.path}" for leak in same]
        _print_some(f"near duplicates of different {kind}s", lines)
    print("no leak found" if not people and not pairs else "leaks found")
    sys.exit(1 if people or pairs else 0)


def shards(store: Place, out: Place, *, rows: int = 2048) -> None:
    """Write a store as a few large files, which every command reads as it reads the store.

    Run again, it goes on where it was killed, and adds what the store has grown by.

    Args:
        store: folder made by `despoof prepare`.
        out: folder for Parquet files of the rows and their pictures, or its URI, such as s3://bucket/folder.
        rows: of a file, a multiple of 32.
    """
    from despoof.faces.shards import write_shards
    from despoof.faces.store import Store

    print(write_shards(Store(store), out, rows=rows))


def _pictures(source: Place) -> "tuple[list[Sample], map[tuple[Sample, np.ndarray | None]]]":
    """Return the samples, and lazily each with its picture, None where there is none."""
    from despoof.data.image import read_image
    from despoof.data.manifest import read_source
    from despoof.data.video import is_video
    from despoof.errors import InputError
    from despoof.faces.store import Store
    from despoof.runs.progress import track

    def picture(sample: "Sample") -> "tuple[Sample, np.ndarray | None]":
        path = f"{sample.file}#0" if is_video(sample.path) else sample.file
        try:
            return sample, read_image(path)
        except InputError:
            return sample, None

    if isinstance(source, str) or (source / "store.json").is_file():
        store = Store(source)
        rows = store.with_face()
        faces = ((row.sample, store.faces([row], 64)[0]) for row in track(rows, "read faces", len(rows)))
        return [row.sample for row in store.rows], faces
    samples = read_source(source)
    return samples, map(picture, track(samples, "read pictures", len(samples)))
