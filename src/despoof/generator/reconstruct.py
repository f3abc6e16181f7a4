"""Faces -> counterparts: of an array, and of a store in ``STORE/counterparts/NAME-tSTEP``, resumable."""

from pathlib import Path

import numpy as np

from despoof.faces.align import as_image, as_tensor
from despoof.faces.counterparts import CounterpartCache, counterpart_folder, fill
from despoof.faces.store import Store
from despoof.generator.generator import Generator


def counterparts_of(
    generator: Generator, faces: np.ndarray, *, start_step: int | None = None, salt: int = 0, batch: int = 32
) -> np.ndarray:
    """Return counterparts (N, S, S, 3) uint8 of faces (N, H, H, 3) uint8 RGB, S the generator's face size.

    Made `batch` at a time on the generator's device, in 32 bits there too, so that machines agree.
    """
    size = generator.config.face_size
    made = np.empty((len(faces), size, size, 3), np.uint8)
    for first in range(0, len(faces), batch):
        face = as_tensor(faces[first : first + batch], size)
        counterparts = generator.counterpart(face, start_step=start_step, salt=salt)
        made[first : first + batch] = [as_image(one) for one in counterparts]
    return made


def reconstruct(
    store: Store, generator: Generator, *, start_step: int | None = None, salt: int = 0, batch: int = 32
) -> Path:
    """Make the counterpart of every face that has none yet; return their folder. Several may run at once."""
    start, size, name = generator.start_of(start_step), generator.config.face_size, generator.name
    folder = counterpart_folder(store, name, start, salt)
    cache = CounterpartCache(folder, {"generator": name, "start_step": start, "salt": salt, "size": size})

    def make(faces: np.ndarray) -> np.ndarray:
        return counterparts_of(generator, faces, start_step=start, salt=salt, batch=batch)

    rows = store.with_face()
    batches = [rows[first : first + batch] for first in range(0, len(rows), batch)]
    fill(cache, batches, lambda some: store.faces(some, size), make, title=f"counterparts t={start}")
    return folder
