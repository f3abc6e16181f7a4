"""Counterparts on disk, addressed by content: hash of a face's pixels -> counterpart, in sealed shards.

    FOLDER/about.json           what made them: generator, start step, salt; one folder holds one maker's
    FOLDER/shard-HEX.safetensors    PNG bytes by face hash; HEX is the hash of the hashes within

A shard is written whole under another name, flushed and renamed, and never changed again. So a killed writer leaves
all earlier shards and nothing half; any number of writers may fill one folder without locks, since two that make
the same shard write the same file. A shard carries the checksum of its content; a damaged one counts as absent.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from despoof.data.place import Remote
from despoof.errors import ArtefactError, InputError
from despoof.faces.align import face_hash
from despoof.faces.store import Store, StoredSample
from despoof.runs.folder import atomic_path, read_json, remove_left, write_json
from despoof.runs.progress import track

FORMAT = "despoof-counterparts/1"
STALE = 3600  # seconds after which another writer's unfinished file is taken for a killed one's

Item = TypeVar("Item")


class CounterpartCache:
    """One maker's counterparts. Opening with `about` is for writing, and refuses another maker's folder."""

    def __init__(self, folder: str | Path, about: dict | None = None) -> None:
        self.folder = Path(folder)
        self._held: dict[Path, frozenset[str]] = {}  # verified shards
        self._asked: set[Path] = set()
        self._shards_of: dict[str, list[Path]] = {}  # by address, as they say
        if about is not None:
            self._claim(about)

    def known(self) -> set[str]:
        """Return the addresses in whole shards, other writers' included; each shard is verified once."""
        for path in set(self._paths()) - set(self._held):
            if (shard := _read_shard(path)) is not None:
                self._held[path] = frozenset(shard)
        return set().union(*self._held.values())

    def add(self, counterparts: dict[str, np.ndarray]) -> None:
        """Write counterparts (S, S, 3) uint8 by face address as one shard."""
        packed = {name: _packed(image) for name, image in sorted(counterparts.items())}
        path = self.folder / f"shard-{_digest(dict.fromkeys(packed, b''))}.safetensors"
        metadata = {"format": FORMAT, "checksum": _digest(packed)}
        with atomic_path(path) as temporary:
            try:
                save_file({name: torch.from_numpy(data) for name, data in packed.items()}, str(temporary), metadata)
            except SafetensorError as error:  # what a full disk is to safetensors
                raise OSError(str(error)) from error
        self._held[path] = frozenset(packed)

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return those of the addresses that are held, as (S, S, 3) uint8 RGB."""
        wanted, found = set(names), {}
        for path in self._holding(wanted):
            shard = _read_shard(path, wanted - set(found)) or {}
            for name in wanted & set(shard):
                found.setdefault(name, cv2.imdecode(shard[name], cv2.IMREAD_COLOR)[..., ::-1])
        return found

    def _holding(self, wanted: set[str]) -> list[Path]:
        """Return the shards that say they hold one of the addresses; each is asked once, in one order."""
        for path in sorted(set(self._paths()) - self._asked):
            self._asked.add(path)
            for name in _names_of(path):
                self._shards_of.setdefault(name, []).append(path)
        return sorted({path for name in wanted for path in self._shards_of.get(name, ())})

    def damaged(self) -> list[Path]:
        """Return the shards that do not hold what they say."""
        return [path for path in sorted(self._paths()) if _read_shard(path) is None]

    def _paths(self) -> Iterator[Path]:
        return self.folder.glob("shard-*.safetensors")

    def _claim(self, about: dict) -> None:
        path = self.folder / "about.json"
        if path.exists() and read_json(path) != about:
            raise ArtefactError(f"{self.folder} holds counterparts of {read_json(path)}; expected {about}. Move it.")
        if not path.exists():
            write_json(path, about)
        remove_left(self.folder, age=STALE)


def fill(
    cache: CounterpartCache,
    batches: Sequence[list[Item]],
    read: Callable[[list[Item]], np.ndarray],
    make: Callable[[np.ndarray], np.ndarray],
    *,
    title: str,
) -> None:
    """Make what the cache lacks: `read` gives faces (N, S, S, 3) uint8 of a batch, `make` their counterparts.

    Batches come in an order of chance, so that several writers seldom meet; what a batch is made of does not
    depend on it.
    """
    order = list(batches)
    SystemRandom().shuffle(order)
    for batch in track(order, title, len(order)):
        fill_one(cache, read(batch), make)


def fill_one(cache: CounterpartCache, faces: np.ndarray, make: Callable[[np.ndarray], np.ndarray]) -> None:
    """Make the counterparts of faces (N, S, S, 3) uint8 that the cache lacks, as one shard."""
    known = cache.known()
    fresh = {name: face for face in faces if (name := face_hash(face)) not in known}
    if fresh:
        made = make(np.stack(list(fresh.values())))
        cache.add(dict(zip(fresh, made, strict=True)))


def counterpart_folder(store: Store, name: str, start_step: int, salt: int = 0, *, out: Path | None = None) -> Path:
    """Return where the counterparts of one generator (whose name holds its steps), start step and salt lie.

    `out` is in the place of the store's folder for them, which one at a URI does not have.
    """
    if out is None and isinstance(store.root, Remote):
        raise InputError(
            f"store {store.root} takes no counterparts. Name a folder for them: `despoof reconstruct --out`."
        )
    return (out or store.root / "counterparts") / (f"{name}-t{start_step}" + (f"-s{salt}" if salt else ""))


def read_counterparts(
    folder: str | Path | CounterpartCache, rows: list[StoredSample], size: int, *, faces: np.ndarray | None = None
) -> np.ndarray:
    """Return counterparts (N, size, size, 3) uint8 RGB of rows; a missing one is an ArtefactError.

    `faces` (N, size, size, 3) uint8 spares reading them from the store above `folder`, by whose pixels
    counterparts are found. Who reads a few at a time gives the folder's cache, which remembers what lies where.
    """
    cache = folder if isinstance(folder, CounterpartCache) else CounterpartCache(folder)
    folder, out = cache.folder, np.empty((len(rows), size, size, 3), np.uint8)
    found = _store_of(folder).faces(rows, size) if faces is None else faces
    names = [face_hash(face) for face in found]
    cached = cache.read(names)
    for i, (row, name) in enumerate(zip(rows, names, strict=True)):
        image = cached.get(name)
        if image is None or image.shape != out.shape[1:]:
            hurt = [path.name for path in cache.damaged()]
            raise ArtefactError(
                f"counterpart of {row.key} in {folder} is missing or not {size} px (damaged shards: {hurt or 'none'})."
                " Run `despoof reconstruct` again."
            )
        out[i] = image
    return out


def counterpart_size(folder: str | Path) -> int:
    """Return the side in px of the counterparts in a folder."""
    if not (Path(folder) / "about.json").is_file():
        raise ArtefactError(f"{folder} holds no counterpart. Run `despoof reconstruct` first.")
    return int(read_json(Path(folder) / "about.json")["size"])


def made_by(folder: str | Path) -> tuple[str, str]:
    """Return the name of the generator that made the counterparts in a folder, and the step that it started from."""
    about = read_json(Path(folder) / "about.json") if (Path(folder) / "about.json").is_file() else {}
    return str(about.get("generator")), str(about.get("start_step"))


def _store_of(folder: Path) -> Store:
    root = folder.resolve().parents[1]
    if not (root / "store.json").is_file():
        raise ArtefactError(f"{folder} does not lie in a store's folder `counterparts`. Give its own path.")
    return Store(root)


def _packed(image: np.ndarray) -> np.ndarray:
    return cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 2])[1].ravel()


def _digest(packed: Mapping[str, np.ndarray | bytes]) -> str:
    digest = hashlib.blake2b(digest_size=10)
    for name, data in sorted(packed.items()):
        digest.update(f"{name} {len(data)};".encode())
        digest.update(data)
    return digest.hexdigest()


def _names_of(path: Path) -> list[str]:
    try:
        with safe_open(str(path), framework="np") as file:
            return list(file.keys())
    except (SafetensorError, OSError):
        return []


def _read_shard(path: Path, wanted: set[str] | None = None) -> dict[str, np.ndarray] | None:
    """Return a shard's PNG bytes; {}, unread, where it holds none of the wanted; None if it is not what it says."""
    try:
        with safe_open(str(path), framework="np") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
            if wanted is not None and not wanted & set(names):
                return {}
            shard = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError):
        return None
    return shard if metadata.get("format") == FORMAT and metadata.get("checksum") == _digest(shard) else None
