"""Store of faces -> counterparts on disk: ``STORE/counterparts/NAME/KEY.png``, resumable."""

from pathlib import Path

import cv2
import numpy as np
import torch

from despoof.data.store import Store, StoredSample
from despoof.errors import ArtefactError
from despoof.faces.align import as_image, as_tensor
from despoof.generator.generator import Generator
from despoof.runs.folder import atomic_path
from despoof.runs.progress import track


def counterpart_folder(store: Store, name: str, start_step: int) -> Path:
    """Return where the counterparts of one generator and start step lie."""
    return store.root / "counterparts" / f"{name}-t{start_step}"


def reconstruct(store: Store, generator: Generator, *, start_step: int | None = None, batch: int = 32) -> Path:
    """Write the counterpart of every face that has none yet; return their folder."""
    start = start_step or generator.config.diffusion.start_step
    folder = counterpart_folder(store, generator.name, start)
    folder.mkdir(parents=True, exist_ok=True)
    rest = [row for row in store.with_face() if not (folder / f"{row.key}.png").exists()]
    starts = range(0, len(rest), batch)
    device = next(generator.parameters()).device
    for first in track(starts, f"counterparts t={start}", len(starts)):
        rows = rest[first : first + batch]
        size = generator.config.face_size
        faces = as_tensor(store.faces(rows, size), size).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            made = generator.counterpart(faces, start_step=start)
        for row, counterpart in zip(rows, made, strict=True):
            _write(folder / f"{row.key}.png", as_image(counterpart))
    return folder


def read_counterparts(folder: str | Path, rows: list[StoredSample], size: int) -> np.ndarray:
    """Return counterparts (N, size, size, 3) uint8 RGB of rows; a missing one is an ArtefactError."""
    out = np.empty((len(rows), size, size, 3), np.uint8)
    for i, row in enumerate(rows):
        path = Path(folder) / f"{row.key}.png"
        image = cv2.imread(str(path))
        if image is None or image.shape != out.shape[1:]:
            raise ArtefactError(f"counterpart {path} is missing or not {size} px. Run `despoof reconstruct` again.")
        out[i] = image[..., ::-1]
    return out


def _write(path: Path, image: np.ndarray) -> None:
    _, data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 2])
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
