"""Faces -> counterparts: of an array, and of a store in ``STORE/counterparts/NAME-tSTEP``, resumable."""

from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from random import SystemRandom

import numpy as np
import torch

from despoof.faces.align import as_image, as_tensor
from despoof.faces.counterparts import CounterpartCache, counterpart_folder, fill, fill_one
from despoof.faces.store import Store
from despoof.generator.config import PAPER, Posterior, Scheduler
from despoof.generator.generator import Generator
from despoof.generator.registry import load_generator
from despoof.generator.weights import load_published
from despoof.runs.pool import Pool


@dataclass(frozen=True)
class Source:
    """Where a worker reads its generator from, and where and with how many threads it computes.

    `scheduler` and `posterior` are of a published folder, see `despoof.generator.weights.load_published`.
    """

    path: str
    device: str | None = None
    threads: int = 1
    scheduler: Scheduler = "pndm"
    posterior: Posterior = "sample"

    def open(self) -> Generator:
        """Return the generator on its device, read once; a device that is not there is a ConfigError."""
        return _opened(self)


@cache
def _opened(source: Source) -> Generator:
    from despoof.runs.processes import choose_device

    torch.set_num_threads(source.threads)
    where = choose_device(source.device)
    if not Path(source.path).is_dir():
        return load_generator(source.path).to(where)
    diffusion = replace(PAPER.diffusion, scheduler=source.scheduler)
    return load_published(source.path, diffusion=diffusion, posterior=source.posterior).to(where)


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


def reconstruct_in(
    pool: Pool, store: Store, source: Source, out: Path | None = None, *, start_step: int | None = None, batch: int = 32
) -> Path:  # fmt: skip
    """Do what `reconstruct` does by the workers of a pool; these read the store and write, so all must reach both.

    `out` is in the place of the store's folder of counterparts.
    """
    generator, rows = source.open(), store.with_face()
    start, size, name = generator.start_of(start_step), generator.config.face_size, generator.name
    folder = counterpart_folder(store, name, start, out=out)
    CounterpartCache(folder, {"generator": name, "start_step": start, "salt": 0, "size": size})
    firsts = list(range(0, len(rows), batch))
    SystemRandom().shuffle(firsts)  # see `fill`
    work = partial(
        _fill_from,
        source,
        str(store.root.resolve() if isinstance(store.root, Path) else store.root),
        str(folder.resolve()),
        start=start,
        batch=batch,
    )
    pool.run(work, firsts, title=f"counterparts t={start}")
    return folder


def _fill_from(source: Source, store: str, folder: str, first: int, *, start: int, batch: int) -> None:
    opened, generator, counterparts = _held(source, store, folder)
    faces = opened.faces(opened.with_face()[first : first + batch], generator.config.face_size)
    fill_one(counterparts, faces, lambda some: counterparts_of(generator, some, start_step=start, batch=batch))


@cache
def _held(source: Source, store: str, folder: str) -> tuple[Store, Generator, CounterpartCache]:
    """Return what a worker opens once."""
    return Store(store), source.open(), CounterpartCache(folder)
