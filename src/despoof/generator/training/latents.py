"""What frozen networks make of all training faces and of their mirror images, once, 16-bit, memory-mapped; and pixels.

Made chunk by chunk in the run's folder: a killed making goes on, several processes read one copy.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from despoof.faces.align import as_tensor
from despoof.faces.store import Store, StoredSample
from despoof.generator.config import GeneratorConfig
from despoof.generator.identity import FaceIdentity, condition_tokens, condition_width
from despoof.runs.folder import read_json, write_json
from despoof.runs.progress import track

CHUNK = 64


class Faces(Protocol):
    """Faces (N, S, S, 3) uint8: an array, or something that reads them from disk a slice at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice) -> np.ndarray: ...


@dataclass(frozen=True)
class StoredFaces:
    """Faces of a store, read when asked for, so that a store larger than memory can be trained on."""

    store: Store
    rows: list[StoredSample]
    size: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: slice) -> np.ndarray:
        return self.store.faces(self.rows[key], self.size)


def data_hash(faces: Faces) -> str:
    """Return hex digits of faces in their order; the `data` of a run's identity."""
    if isinstance(faces, StoredFaces):
        return Store.data_hash(faces.rows)
    digest = hashlib.blake2b(f"{len(faces)}".encode(), digest_size=10)
    for first in range(0, len(faces), CHUNK):
        digest.update(np.ascontiguousarray(faces[first : first + CHUNK]))
    return digest.hexdigest()


class Latents:
    """Arrays (2N, ...) by name; `make` gives them for faces (K, 3, S, S). A chunk of faces, then its mirror images."""

    def __init__(
        self,
        folder: Path,
        label: str,
        faces: Faces,
        make: Callable[[torch.Tensor], dict[str, torch.Tensor]],
        *,
        title: str,
    ) -> None:
        """Make what is missing in `folder`; what a run of another label left there is made again."""
        done_file = folder / "done.json"
        held = read_json(done_file) if done_file.is_file() else {}
        done = held["chunks"] if held.get("run") == label else 0
        maps = self._open(folder, "r+") if done else {}
        starts = range(0, len(faces), CHUNK)
        for number in track(range(done, len(starts)), title, len(starts) - done):
            first = starts[number]
            made = _of_views(faces[first : first + CHUNK], make)
            maps = maps or {name: _create(folder / f"{name}.npy", 2 * len(faces), part) for name, part in made.items()}
            for name, part in made.items():
                maps[name][2 * first : 2 * first + len(part)] = part
                maps[name].flush()
            write_json(done_file, {"run": label, "chunks": number + 1})
        self.arrays = self._open(folder, "r")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def pick(self, name: str, *index: torch.Tensor) -> torch.Tensor:
        """Return entries of one array in 32 bits."""
        return torch.from_numpy(self.arrays[name][tuple(each.numpy() for each in index)]).float()

    @staticmethod
    def _open(folder: Path, mode: str) -> dict[str, np.memmap]:
        return {path.stem: np.load(path, mmap_mode=mode) for path in sorted(folder.glob("*.npy"))}


@torch.no_grad()
def _of_views(faces: np.ndarray, make: Callable) -> dict[str, np.ndarray]:
    face = as_tensor(faces, faces.shape[1])
    views = [make(face), make(face.flip(3))]
    return {name: torch.cat([view[name].half().cpu() for view in views]).numpy() for name in views[0]}


def _create(path: Path, rows: int, part: np.ndarray) -> np.memmap:
    path.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(path, "w+", part.dtype, (rows, *part.shape[1:]))


def mapped_pixels(faces: Faces, folder: Path, label: str) -> np.ndarray:
    """Return faces (N, S, S, 3) uint8 to be picked from at random: an array as it is, others from a file in `folder`.

    The file is made once, chunk by chunk, and memory-mapped, so that faces need not fit into memory.
    """
    if isinstance(faces, np.ndarray):
        return faces
    done_file, path = folder / "done.json", folder / "pixels.npy"
    held = read_json(done_file) if done_file.is_file() else {}
    done = held["chunks"] if held.get("run") == label else 0
    pixels = np.load(path, mmap_mode="r+") if done else None
    starts = range(0, len(faces), CHUNK)
    for number in track(range(done, len(starts)), "read faces", len(starts) - done):
        part = faces[starts[number] : starts[number] + CHUNK]
        pixels = _create(path, len(faces), part) if pixels is None else pixels
        pixels[starts[number] : starts[number] + len(part)] = part
        pixels.flush()
        write_json(done_file, {"run": label, "chunks": number + 1})
    return np.load(path, mmap_mode="r")


def bare_tokens(config: GeneratorConfig, identity: FaceIdentity) -> torch.Tensor:
    """Return tokens (N, K, D) without the zeros that fill them up to the denoiser's width."""
    tokens = condition_tokens(identity, config.condition)
    return tokens[..., : config.identity.widths[-1]] if config.condition == "map" else tokens


def filled_tokens(config: GeneratorConfig, tokens: torch.Tensor) -> torch.Tensor:
    """Return bare tokens with these zeros."""
    return F.pad(tokens, (0, condition_width(config.identity, config.condition) - tokens.shape[-1]))
