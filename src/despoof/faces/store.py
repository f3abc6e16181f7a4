"""Prepared samples on disk: aligned faces as PNG, one manifest, what made them.

    store/
      store.json       what made it: face size, detector, template
      samples.jsonl    one row per sample: Sample fields, outcome, landmarks, quality, hashes of its pictures' pixels
      faces/KEY.png    aligned face, 256 x 256 RGB, for every row whose outcome is "face"
      surroundings/KEY.png    what lies around it, near | far, 320 x 160 RGB

Rows are appended one by one and pictures are written before their row, so a killed run goes on where it stopped.
The same in a few large files, to be read only, on disk or at a URI: shards.py. Opening a store to read it writes
nothing.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from despoof.data.place import Remote, place
from despoof.data.sample import Sample
from despoof.errors import ArtefactError
from despoof.faces.align import face_hash, shrink
from despoof.faces.shards import Shards, has_shards
from despoof.runs.folder import atomic_path, read_json, write_json, write_text

FACTS = ("outcome", "landmarks", "quality", "frames", "pixels", "around")  # of a row, beside those of its sample
PICTURES = ("faces", "surroundings")  # folders
VERSION = 3  # of the rows and pictures; what says another is refused


@dataclass(frozen=True)
class StoredSample:
    """One row of the manifest.

    `outcome` is ``"face"`` or the reason why there is none. `landmarks` are five (x, y) in source pixels. `quality`
    holds the measured values. `frames` is how many rows there are of the same video once it is done. `pixels` is the
    `face_hash` of the face, `around` that of its surroundings, "" where the store holds none.
    """

    sample: Sample
    outcome: str
    _: KW_ONLY
    landmarks: list[list[float]] | None = None
    quality: dict[str, float] = field(default_factory=dict)
    frames: int = 1
    pixels: str = ""
    around: str = ""

    @property
    def key(self) -> str:
        """Name of the sample's files."""
        return self.sample.key


class Store:
    """A folder of prepared samples. Opening reads the manifest; adding is atomic per sample, one writer at a time.

    At a URI, such as s3://bucket/folder, lie shards.
    """

    def __init__(self, root: str | Path, *, about: dict | None = None) -> None:
        self.root = place(root)
        self.rows: list[StoredSample] = []
        if about is not None and not (self.root / "store.json").exists():
            write_json(self.root / "store.json", about)
        self.about = read_json(self.root / "store.json")
        if (version := self.about.get("version", VERSION)) != VERSION:
            raise ArtefactError(
                f"store {self.root} is of version {version}; expected {VERSION}, which holds surroundings."
                " Prepare the same samples again into another folder, or delete this one first."
            )
        if about is not None and self.about != about:
            raise ArtefactError(
                f"store {self.root} was made with {self.about}, now asked for {about}. "
                "Use another folder or delete this one."
            )
        self._manifest = self.root / "samples.jsonl"
        self._torn: str | None = (
            None  # the manifest up to half a row, which a kill in mid-append left; cut off before the next row
        )
        self._read()

    def _read(self) -> None:
        self._shards = Shards(self.root) if has_shards(self.root) else None
        seen: set[str] = set()
        for where, line in self._shards.lines() if self._shards else self._lines():
            row = _parsed(line, where)
            if row.key in seen:
                raise ArtefactError(
                    f"{where} has {row.sample.file} again; expected each sample once. "
                    "Delete the store and prepare again."
                )
            seen.add(row.key)
            self.rows.append(row)
        if self._shards is not None:
            self._shards.require(self.data_hash(self.rows))

    def _lines(self) -> Iterator[tuple[str, str]]:
        text = self._manifest.read_text(encoding="utf-8") if self._manifest.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        self._torn = whole if whole != text else None
        for number, line in enumerate(whole.splitlines(), 1):
            yield f"{self._manifest}, line {number}", line

    def add(self, row: StoredSample, face: np.ndarray | None, around: np.ndarray | None = None) -> StoredSample:
        """Append one sample and return its row. To shards nothing is added.

        Where the outcome is "face", `face` is (256, 256, 3) uint8 RGB and `around` its surroundings (2, S, S, 3).
        """
        self._require_own_files()
        if face is not None:
            self.write_face(row, face)
            row = replace(row, pixels=face_hash(face))
        if around is not None:
            self.write_around(row, around)
            row = replace(row, around=face_hash(around))
        if self._torn is not None:
            write_text(self._manifest, self._torn)
            self._torn = None
        try:
            with self._manifest.open("a", encoding="utf-8") as file:
                file.write(self.line(row) + "\n")
        except OSError as error:
            raise ArtefactError(
                f"could not write to store {self.root}: {error}. Free some space, then run the same command again."
            ) from error
        self.rows.append(row)
        return row

    @staticmethod
    def line(row: StoredSample) -> str:
        """Return a row as the manifest has it."""
        return json.dumps(row.sample.as_row() | {name: getattr(row, name) for name in FACTS})

    def write_face(self, row: StoredSample, face: np.ndarray) -> None:
        """Write the face (256, 256, 3) uint8 RGB of a row atomically."""
        self._write_png(self.face_path(row), face)

    def write_around(self, row: StoredSample, around: np.ndarray) -> None:
        """Write the surroundings (2, S, S, 3) uint8 RGB of a row atomically, side by side."""
        self._write_png(self.around_path(row), np.hstack(list(around)))

    def _require_own_files(self) -> None:
        if self._shards is not None:
            raise ArtefactError(
                f"{self.root} holds shards, to which nothing is added. Prepare into the store that they were made of, "
                "and run `despoof data shards` again."
            )

    def _write_png(self, path: Path, image: np.ndarray) -> None:
        self._require_own_files()
        with atomic_path(path) as temporary:
            _, data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 2])
            temporary.write_bytes(data.tobytes())

    def with_face(self) -> list[StoredSample]:
        """Return the rows that have a face, in manifest order."""
        return [row for row in self.rows if row.outcome == "face"]

    def face_path(self, row: StoredSample) -> Path | Remote:
        """Return where the face of a row lies."""
        if self._shards is not None:
            return self._shards.path_of(row.key)
        return self.root / "faces" / f"{row.key}.png"

    def around_path(self, row: StoredSample) -> Path | Remote:
        """Return where the surroundings of a row lie."""
        if self._shards is not None:
            return self._shards.path_of(row.key)
        return self.root / "surroundings" / f"{row.key}.png"

    def png(self, row: StoredSample, kind: str) -> bytes | None:
        """Return the PNG bytes of the "face" or the "surroundings" of a row; None where there are none."""
        if self._shards is not None:
            return self._shards.picture(kind, row.key)
        path = self.face_path(row) if kind == "face" else self.around_path(row)
        return path.read_bytes() if path.is_file() else None

    def face(self, row: StoredSample) -> np.ndarray | None:
        """Return the face (256, 256, 3) uint8 RGB of a row; None if it is missing or not what the manifest says."""
        face = _decoded(self.png(row, "face"))
        if face is None or (row.pixels and face_hash(face[..., ::-1]) != row.pixels):
            return None
        return face[..., ::-1]

    def around(self, row: StoredSample) -> np.ndarray | None:
        """Return the surroundings (2, S, S, 3) uint8 RGB of a row; None if missing or not what the manifest says."""
        both = _decoded(self.png(row, "surroundings")) if row.around else None
        if both is None:
            return None
        around = np.stack(np.hsplit(both[..., ::-1], 2))
        return around if face_hash(around) == row.around else None

    def faces(self, rows: list[StoredSample], size: int) -> np.ndarray:
        """Return (N, size, size, 3) uint8 RGB, shrunk by area where size is below 256."""
        out = np.empty((len(rows), size, size, 3), np.uint8)
        for i, row in enumerate(rows):
            face = self.face(row)
            if face is None:
                raise ArtefactError(f"{self.face_path(row)} is missing or damaged. Run `despoof prepare` again.")
            out[i] = shrink(face, size)
        return out

    def surroundings(self, rows: list[StoredSample]) -> np.ndarray:
        """Return (N, 2, S, S, 3) uint8 RGB, near and far, of N rows (at least one)."""
        found = [self.around(row) for row in rows]
        for row, around in zip(rows, found, strict=True):
            if around is None:
                raise ArtefactError(f"{self.around_path(row)} is missing or damaged. Run `despoof prepare` again.")
        return np.stack(found)

    @staticmethod
    def data_hash(rows: list[StoredSample]) -> str:
        """Return twenty hex digits of rows and of their pictures' pixels, in order; where files lie does not count."""
        digest = hashlib.blake2b(digest_size=10)
        for row in rows:
            told = {"source": "", "outcome": row.outcome, "pixels": row.pixels, "around": row.around}
            facts = row.sample.as_row() | told
            digest.update(json.dumps(facts, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()


def _decoded(data: bytes | None) -> np.ndarray | None:
    return None if not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def _parsed(line: str, where: str) -> StoredSample:
    try:
        row = json.loads(line)
        return StoredSample(Sample.from_row(row), **{name: row[name] for name in FACTS})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{where} is damaged ({error!r}). Delete the store and prepare again.") from None
