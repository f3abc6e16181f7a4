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
from despoof.faces.mapped import CHUNK, mapped
from despoof.faces.store import Store, StoredSample
from despoof.generator.config import GeneratorConfig
from despoof.generator.identity import FaceIdentity, condition_tokens, condition_width


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

        def views(span: slice) -> dict[str, np.ndarray]:
            return _of_views(faces[span], make)

        self.arrays = mapped(folder, label, len(faces), views, title=title, chunk=CHUNK)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def pick(self, name: str, *index: torch.Tensor) -> torch.Tensor:
        """Return entries of one array in 32 bits."""
        return torch.from_numpy(self.arrays[name][tuple(each.numpy() for each in index)]).float()


@torch.no_grad()
def _of_views(faces: np.ndarray, make: Callable) -> dict[str, np.ndarray]:
    face = as_tensor(faces, faces.shape[1])
    views = [make(face), make(face.flip(3))]
    return {name: torch.cat([view[name].half().cpu() for view in views]).numpy() for name in views[0]}


def mapped_pixels(faces: Faces, folder: Path, label: str) -> np.ndarray:
    """Return faces (N, S, S, 3) uint8 to be picked from at random: an array as it is, others from a file in `folder`.

    The file is made once, chunk by chunk, and memory-mapped, so that faces need not fit into memory.
    """
    if isinstance(faces, np.ndarray):
        return faces
    read = mapped(folder, label, len(faces), lambda span: {"pixels": faces[span]}, title="read faces", chunk=CHUNK)
    return read["pixels"]


def bare_tokens(config: GeneratorConfig, identity: FaceIdentity) -> torch.Tensor:
    """Return tokens (N, K, D) without the zeros that fill them up to the denoiser's width."""
    tokens = condition_tokens(identity, config.condition)
    return tokens[..., : config.identity.widths[-1]] if config.condition == "map" else tokens


def filled_tokens(config: GeneratorConfig, tokens: torch.Tensor) -> torch.Tensor:
    """Return bare tokens with these zeros."""
    return F.pad(tokens, (0, condition_width(config.identity, config.condition) - tokens.shape[-1]))
