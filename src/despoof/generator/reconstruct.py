"""Store of faces -> counterparts: ``STORE/counterparts/NAME-tSTEP``, a `CounterpartCache`, resumable."""

from pathlib import Path

import numpy as np
import torch

from despoof.faces.align import as_image, as_tensor
from despoof.faces.counterparts import CounterpartCache, counterpart_folder, fill
from despoof.faces.store import Store
from despoof.generator.generator import Generator


def reconstruct(
    store: Store, generator: Generator, *, start_step: int | None = None, salt: int = 0, batch: int = 32
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

    rows = store.with_face()
    batches = [rows[first : first + batch] for first in range(0, len(rows), batch)]
    fill(cache, batches, lambda some: store.faces(some, size), make, title=f"counterparts t={start}")
    return folder
