"""Store of faces -> counterparts: ``STORE/counterparts/NAME-tSTEP``, a `CounterpartCache`, resumable.

Folders of the first release hold ``KEY.png`` per sample instead; they are still read and gone on with.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from despoof.data.store import Store, StoredSample
from despoof.errors import ArtefactError
from despoof.faces.align import as_image, as_tensor
from despoof.generator.cache import CounterpartCache, face_hash, fill
from despoof.generator.kind import Kind
from despoof.runs.folder import read_json


def counterpart_folder(store: Store, name: str, start_step: int, salt: int = 0) -> Path:
    """Return where the counterparts of one generator (whose name holds its steps), start step and salt lie."""
    return store.root / "counterparts" / (f"{name}-t{start_step}" + (f"-s{salt}" if salt else ""))


def reconstruct(
    store: Store, generator: Kind, *, start_step: int | None = None, salt: int = 0, batch: int = 32
) -> Path:
    """Make the counterpart of every face that has none yet; return their folder. Several may run at once."""
    start, size = generator.start_of(start_step), generator.config.face_size
    name = generator.name
    folder = counterpart_folder(store, name, start, salt)
    cache = CounterpartCache(folder, {"generator": name, "start_step": start, "salt": salt, "size": size})
    device = next(generator.parameters()).device

    def make(faces: np.ndarray) -> np.ndarray:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            made = generator.counterpart(as_tensor(faces, size).to(device), start_step=start, salt=salt)
        return np.stack([as_image(one.float()) for one in made])

    rows = [row for row in store.with_face() if not (folder / f"{row.key}.png").exists()]
    batches = [rows[first : first + batch] for first in range(0, len(rows), batch)]
    fill(cache, batches, lambda some: store.faces(some, size), make, title=f"counterparts t={start}")
    return folder


def read_counterparts(
    folder: str | Path, rows: list[StoredSample], size: int, *, faces: np.ndarray | None = None
) -> np.ndarray:
    """Return counterparts (N, size, size, 3) uint8 RGB of rows; a missing one is an ArtefactError.

    `faces` (N, size, size, 3) uint8 spares reading them from the store above `folder`, by whose pixels
    counterparts are found.
    """
    folder, out = Path(folder), np.empty((len(rows), size, size, 3), np.uint8)
    by_key = {i: folder / f"{row.key}.png" for i, row in enumerate(rows)}
    by_key = {i: path for i, path in by_key.items() if path.is_file()}
    names = _addresses(folder, rows, size, faces, set(range(len(rows))) - set(by_key))
    cached = CounterpartCache(folder).read(names.values()) if names else {}
    for i, row in enumerate(rows):
        image = cv2.imread(str(by_key[i])) if i in by_key else cached.get(names[i])
        if image is None or image.shape != out.shape[1:]:
            hurt = [path.name for path in CounterpartCache(folder).damaged()]
            raise ArtefactError(
                f"counterpart of {row.key} in {folder} is missing or not {size} px (damaged shards: {hurt or 'none'})."
                " Run `despoof reconstruct` again."
            )
        out[i] = image[..., ::-1] if i in by_key else image
    return out


def counterpart_size(folder: str | Path) -> int:
    """Return the side in px of the counterparts in a folder."""
    folder = Path(folder)
    if (folder / "about.json").is_file():
        return int(read_json(folder / "about.json")["size"])
    image = next((cv2.imread(str(path)) for path in folder.glob("*.png")), None)
    if image is None:
        raise ArtefactError(f"{folder} holds no counterpart. Run `despoof reconstruct` first.")
    return len(image)


def _addresses(
    folder: Path, rows: list[StoredSample], size: int, faces: np.ndarray | None, wanted: set[int]
) -> dict[int, str]:
    if not wanted:
        return {}
    picks = sorted(wanted)
    if faces is None:
        root = folder.resolve().parents[1]
        if not (root / "store.json").is_file():
            raise ArtefactError(f"{folder} does not lie in a store's folder `counterparts`. Give its own path.")
        found = Store(root).faces([rows[i] for i in picks], size)
    else:
        found = faces[picks]
    return {i: face_hash(face) for i, face in zip(picks, found, strict=True)}
