"""Prepared samples on disk: aligned faces as PNG, one manifest, what made them.

    store/
      store.json       what made it: face size, detector, template
      samples.jsonl    one row per sample: Sample fields, outcome, landmarks, quality
      faces/KEY.png    aligned face, 256 x 256 RGB, for every row whose outcome is "face"

Rows are appended one by one and a face is written before its row, so a killed run goes on where it stopped.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError
from despoof.runs.folder import atomic_path, read_json, write_json

FACE_SIZE = 256


@dataclass(frozen=True)
class StoredSample:
    """One row of the manifest.

    `outcome` is ``"face"`` or the reason why there is none. `landmarks` are five (x, y) in source pixels.
    `quality` holds the measured values; `source` is the absolute path of the original image. `frames` is how
    many rows there are of the same video once it is done.
    """

    sample: Sample
    outcome: str
    source: str
    landmarks: list[list[float]] | None = None
    quality: dict[str, float] = field(default_factory=dict)
    frames: int = 1

    @property
    def key(self) -> str:
        """Name of the sample's files: hex digits of its path."""
        return sample_key(self.sample)


def sample_key(sample: Sample) -> str:
    """Return twenty hex digits that name a sample by its path."""
    return hashlib.blake2b(sample.path.encode(), digest_size=10).hexdigest()


class Store:
    """A folder of prepared samples. Opening reads the manifest; adding is atomic per sample."""

    def __init__(self, root: str | Path, *, about: dict | None = None) -> None:
        self.root = Path(root)
        self.rows: list[StoredSample] = []
        if about is not None and not (self.root / "store.json").exists():
            write_json(self.root / "store.json", about)
        self.about = read_json(self.root / "store.json")
        if about is not None and self.about != about:
            raise ArtefactError(
                f"store {self.root} was made with {self.about}, now asked for {about}. "
                "Use another folder or delete this one."
            )
        self._read()

    def _read(self) -> None:
        manifest = self.root / "samples.jsonl"
        if not manifest.exists():
            return
        text = manifest.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # a kill in mid-append left half a row; that sample is prepared again
            with atomic_path(manifest) as temporary:
                temporary.write_text(whole, encoding="utf-8")
        for number, line in enumerate(whole.splitlines(), 1):
            self.rows.append(_parsed(line, f"{manifest}, line {number}"))

    def add(self, row: StoredSample, face: np.ndarray | None) -> None:
        """Append one sample; `face` is (256, 256, 3) uint8 RGB where the outcome is "face"."""
        if face is not None:
            with atomic_path(self.face_path(row)) as temporary:
                _, data = cv2.imencode(".png", face[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 2])
                temporary.write_bytes(data.tobytes())
        facts = {"outcome": row.outcome, "source": row.source, "landmarks": row.landmarks, "quality": row.quality}
        facts |= {"frames": row.frames} if row.frames > 1 else {}
        try:
            with (self.root / "samples.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row.sample.as_row() | facts) + "\n")
        except OSError as error:
            raise ArtefactError(
                f"could not write to store {self.root}: {error}. Free some space, then run the same command again."
            ) from error
        self.rows.append(row)

    def with_face(self) -> list[StoredSample]:
        """Return the rows that have a face, in manifest order."""
        return [row for row in self.rows if row.outcome == "face"]

    def face_path(self, row: StoredSample) -> Path:
        """Return where the face of a row lies."""
        return self.root / "faces" / f"{row.key}.png"

    def faces(self, rows: list[StoredSample], size: int) -> np.ndarray:
        """Return (N, size, size, 3) uint8 RGB, shrunk by area where size is below 256."""
        out = np.empty((len(rows), size, size, 3), np.uint8)
        for i, row in enumerate(rows):
            face = cv2.imread(str(self.face_path(row)))
            if face is None:
                raise ArtefactError(f"{self.face_path(row)} is missing or damaged. Delete the store and prepare.")
            out[i] = shrink(face[..., ::-1], size)
        return out


def _parsed(line: str, where: str) -> StoredSample:
    try:
        row = json.loads(line)
        facts = (row["outcome"], row["source"], row["landmarks"], row["quality"])
        return StoredSample(Sample.from_row(row), *facts, frames=int(row.get("frames", 1)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{where} is damaged ({error!r}). Delete the store and prepare again.") from None


def shrink(face: np.ndarray, size: int) -> np.ndarray:
    """Return the face (H, W, 3) at (size, size, 3), by area averaging; the one filter used everywhere."""
    if face.shape[0] == size:
        return face
    return cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)


def counts(rows: list[StoredSample]) -> dict[tuple[str, Label], int]:
    """Count rows per domain and label."""
    table: dict[tuple[str, Label], int] = {}
    for row in rows:
        key = (row.sample.domain, row.sample.label)
        table[key] = table.get(key, 0) + 1
    return table
