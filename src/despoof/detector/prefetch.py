"""Batches made ahead of their step by worker processes; what a step gets does not depend on how many there are."""

from collections.abc import Callable, Iterator

import cv2
from torch.utils.data import DataLoader, Dataset

from despoof.detector.batches import Batch


class Prefetched:
    """Give the batch of a step: made here where there are no workers, else the next of those made ahead.

    The first step asked for may be any, as when a run is resumed; after it they must be asked for in turn.
    """

    def __init__(self, make: Callable[[int], Batch], steps: int, workers: int) -> None:
        self._make, self._steps, self._workers = make, steps, workers
        self._ahead: Iterator[Batch] | None = None

    def __call__(self, step: int) -> Batch:
        """Return the batch of this step."""
        if not self._workers:
            return self._make(step)
        if self._ahead is None:
            self._ahead = iter(
                DataLoader(
                    _Steps(self._make, step, self._steps),  # type: ignore[arg-type]
                    batch_size=None,
                    num_workers=self._workers,
                    worker_init_fn=_one_thread,
                    prefetch_factor=4,
                )
            )
        return next(self._ahead)


class _Steps(Dataset):
    def __init__(self, make: Callable[[int], Batch], first: int, end: int) -> None:
        self._make, self._first, self._end = make, first, end

    def __len__(self) -> int:
        return self._end - self._first

    def __getitem__(self, index: int) -> Batch:
        return self._make(self._first + index)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
