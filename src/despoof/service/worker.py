"""The one thread that owns the guard: jobs in a bounded queue, taken together as they wait, answered by futures."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from despoof.clip.frame import read_clip
from despoof.clip.judge import judge_clip
from despoof.clip.rule import ClipRule
from despoof.pipeline import Guard
from despoof.service.config import ServiceConfig
from despoof.service.errors import RefusedError
from despoof.service.schemas import ClipResult, Result, clip_result_of, result_of
from despoof.verdict import Verdict

LOG = logging.getLogger("despoof.service")
STUCK = 4  # times `answer_seconds` in one batch, after which the service calls itself not ready


@dataclass(frozen=True)
class Job:
    """The bytes of an image, or of a clip, and where its result goes."""

    data: bytes = field(repr=False)
    explain: bool
    clip: bool = False
    future: "Future[Result | ClipResult]" = field(default_factory=Future)


class Judge:
    """Loads a guard in its thread and judges there, so that torch runs in one thread and the event loop stays free.

    While a batch is judged, what arrives waits and is the next batch: batches grow with load and add no delay
    without it. A guard that cannot be loaded leaves the judge not ready for good: restart with weights.
    """

    def __init__(self, load: Callable[[], Guard], config: ServiceConfig, on_batch: Callable[[int], None]) -> None:
        self._load = load
        self._config = config
        self._on_batch = on_batch
        self._queue: queue.Queue[Job | None] = queue.Queue(config.waiting)
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)
        self._stopping = threading.Event()
        self._busy_since: float | None = None
        self._failed = False
        self.guard: Guard | None = None

    def start(self) -> None:
        """Begin to load; `state` says when that is done."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Finish the batch in work, refuse the rest and wait for the thread at most so long."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)  # wakes the thread
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def state(self) -> str:
        """`loading`, `ready`, `failed` (weights missing or broken, or the thread died) or `stuck`."""
        if self._failed or (self.guard is not None and not self._thread.is_alive()):
            return "failed"
        if self.guard is None:
            return "loading"
        since = self._busy_since
        stuck = since is not None and time.monotonic() - since > STUCK * self._config.answer_seconds
        return "stuck" if stuck else "ready"

    @property
    def waiting(self) -> int:
        """How many images wait for the thread."""
        return self._queue.qsize()

    def must_be_ready(self) -> None:
        """Refuse with 503 unless a guard is there: without weights nothing is decided."""
        if self.state != "ready":
            wait = 5 if self.state == "loading" else None
            raise RefusedError(
                503, "not_ready", f"the service is {self.state}; see its log and /readyz.", retry_after=wait
            )

    def submit(self, data: bytes, explain: bool, *, clip: bool = False) -> "Future[Result | ClipResult]":
        """Queue one image or clip; a full queue is refused with 503."""
        self.must_be_ready()
        job = Job(data, explain, clip)
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            raise RefusedError(503, "overloaded", "the queue is full. Try again in a moment.", retry_after=1) from None
        return job.future

    def _run(self) -> None:
        try:
            guard = self._load()
            _warm_up(guard)
        except Exception:
            LOG.exception("no weights: every check is refused until a restart with weights that load")
            self._failed = True
            return
        self.guard = guard
        while not self._stopping.is_set():
            jobs = self._take()
            self._busy_since = time.monotonic()
            self._answer(guard, [job for job in jobs if job.future.set_running_or_notify_cancel()])
            self._busy_since = None
        for job in self._drained(self._config.waiting):
            job.future.set_exception(RefusedError(503, "stopping", "the service is stopping. Try another instance."))

    def _take(self) -> list[Job]:
        first = self._queue.get()
        return ([] if first is None else [first]) + self._drained(self._config.at_once - 1)

    def _drained(self, most: int) -> list[Job]:
        jobs: list[Job] = []
        while len(jobs) < most:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                jobs.append(job)
        return jobs

    def _answer(self, guard: Guard, jobs: list[Job]) -> None:
        if not jobs:
            return
        self._on_batch(len(jobs))
        for job in jobs:
            if job.clip:
                self._settle(job, lambda job=job: self._clip(guard, job))
        jobs = [job for job in jobs if not job.clip]
        try:
            verdicts = guard.check_many([job.data for job in jobs])
        except Exception:  # one image must not take the others down
            LOG.exception("a batch of %d failed; its images are judged one by one", len(jobs))
            for job in jobs:
                self._settle(job, lambda job=job: self._image(job, guard.check_many([job.data])[0]))
            return
        for job, verdict in zip(jobs, verdicts, strict=True):
            self._settle(job, lambda job=job, verdict=verdict: self._image(job, verdict))

    def _image(self, job: Job, verdict: Verdict) -> Result:
        return result_of(verdict, explain=job.explain, decimals=self._config.decimals)

    def _clip(self, guard: Guard, job: Job) -> ClipResult:
        config = self._config
        rule = ClipRule(
            max_seconds=config.max_video_seconds,
            max_pixels=config.max_video_pixels,
            work_seconds=config.answer_seconds / 2,
        )
        return clip_result_of(judge_clip(guard, read_clip(job.data, rule), rule), decimals=config.decimals)

    def _settle(self, job: Job, answer: Callable[[], Result | ClipResult]) -> None:
        try:
            job.future.set_result(answer())
        except Exception as error:
            LOG.exception("an image could not be judged")
            job.future.set_exception(error)


def _warm_up(guard: Guard) -> None:
    """Judge one picture with a face, so that the first caller does not wait for libraries to load."""
    from skimage.data import astronaut

    guard.check_many([astronaut()])
