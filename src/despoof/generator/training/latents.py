"""Latents and identity tokens of all training faces and of their mirror images, 16-bit, in files that map to memory.

Made once per run folder, chunk by chunk: a killed making goes on, several processes read one copy.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from despoof.faces.store import Store, StoredSample
from despoof.generator.diffusion import LatentDiffusion
from despoof.generator.identity import condition_tokens, condition_width
from despoof.generator.training.autoencoder import as_batch
from despoof.runs.folder import read_json, write_json
from despoof.runs.progress import track

CHUNK = 64


class Faces(Protocol):
    """Faces (N, S, S, 3) uint8: an array, or something that reads them from disk a slice at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice) -> np.ndarray: ...


class StoredFaces:
    """Faces of a store, read when asked for, so that a store larger than memory can be trained on."""

    def __init__(self, store: Store, rows: list[StoredSample], size: int) -> None:
        self.store, self.rows, self.size = store, rows, size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: slice) -> np.ndarray:
        return self.store.faces(self.rows[key], self.size)


@dataclass(frozen=True)
class Encoded:
    """`latents` (2N, C, H, W) and `tokens` (2N, K, D); `width` is D of the denoiser, beyond which tokens are zero."""

    latents: np.ndarray
    tokens: np.ndarray
    width: int

    def __len__(self) -> int:
        return len(self.latents)

    def pick(self, views: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return 32-bit latents and tokens of views (B,)."""
        latents, tokens = (torch.from_numpy(part[views.numpy()]).float() for part in (self.latents, self.tokens))
        return latents.to(device), F.pad(tokens, (0, self.width - tokens.shape[-1])).to(device)


def encode_all(generator: LatentDiffusion, faces: Faces, folder: Path) -> Encoded:
    """Return the codes of all faces; kept in a folder named by the networks and the faces."""
    folder = folder / f"encoded-{_name(generator, faces)}"
    done_file = folder / "done.json"
    done = read_json(done_file)["chunks"] if done_file.is_file() else 0
    starts = range(0, len(faces), CHUNK)
    maps: tuple[np.ndarray, np.ndarray] | None = _open(folder) if done else None
    for number in track(range(done, len(starts)), "encode faces", len(starts) - done):
        first = starts[number]
        parts = _codes(generator, faces[first : first + CHUNK])
        maps = maps or _create(folder, 2 * len(faces), parts)
        for mapped, part in zip(maps, parts, strict=True):
            mapped[2 * first : 2 * first + len(part)] = part
            mapped.flush()  # type: ignore[attr-defined]
        write_json(done_file, {"chunks": number + 1})
    return Encoded(*_open(folder), condition_width(generator.config.identity, generator.config.condition))


@torch.no_grad()
def _codes(generator: LatentDiffusion, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    face = as_batch(faces).to(next(generator.parameters()).device)
    latents, tokens = [], []
    for view in (face, face.flip(3)):
        latents.append(generator.autoencoder.encode(view).half().cpu())
        found = condition_tokens(generator.identity(view), generator.config.condition)
        tokens.append(found[..., : _filled(generator)].half().cpu())
    return torch.cat(latents).numpy(), torch.cat(tokens).numpy()


def _filled(generator: LatentDiffusion) -> int | None:
    """How many entries of a token are not padding."""
    config = generator.config
    return config.identity.widths[-1] if config.condition == "map" else None


def _name(generator: LatentDiffusion, faces: Faces) -> str:
    digest = hashlib.blake2b(digest_size=6)
    digest.update(f"{generator.config.condition} {len(faces)}".encode())
    for part in (generator.autoencoder, generator.identity):
        for tensor in part.state_dict().values():
            digest.update(tensor.detach().cpu().numpy().tobytes())
    for first in range(0, len(faces), CHUNK):
        digest.update(np.ascontiguousarray(faces[first : first + CHUNK]))
    return digest.hexdigest()


def _create(folder: Path, rows: int, parts: Iterable[np.ndarray]) -> tuple[np.ndarray, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", part.dtype, (rows, *part.shape[1:]))
        for name, part in zip(("latents", "tokens"), parts, strict=True)
    )


def _open(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    latents, tokens = (np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ("latents", "tokens"))
    return latents, tokens
