"""Who may come in now: how many images are under way, for one caller and for all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from despoof.service.refused import RefusedError


class Admission:
    """Counts images from before their body is read until their answer is made. Lives on the event loop only."""

    def __init__(self, waiting: int, per_caller: int) -> None:
        self._waiting = waiting
        self._per_caller = per_caller
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """How many images are under way."""
        return self._held.total()

    @contextmanager
    def hold(self, caller: str, images: int) -> Iterator[None]:
        """Hold room for `images`; refuse with 429 what is too much of one caller, with 503 what is too much of all."""
        if self._held[caller] + images > self._per_caller:
            raise RefusedError(
                429,
                "too_many_requests",
                f"more than {self._per_caller} images of this caller are under way. Wait for their answers first.",
                retry_after=1,
            )
        if self.held + images > self._waiting:
            raise RefusedError(503, "overloaded", "the queue is full. Try again in a moment.", retry_after=1)
        self._held[caller] += images
        try:
            yield
        finally:
            self._held[caller] -= images
            if not self._held[caller]:
                del self._held[caller]
