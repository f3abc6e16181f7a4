"""The threads that judge: photos in batches as they wait, clips one at a time in a thread of their own.

Each thread has a guard of its own, whose networks judge for one caller at a time. A clip never stands before a photo:
they wait in two queues and share the processor, not a thread.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic

from despoof.clip.frame import Frame, read_clip
from despoof.clip.judge import judge_clip
from despoof.clip.rule import ClipRule
from despoof.data.portrait import portrait
from despoof.errors import ArtefactError
from despoof.pipeline import Guard
from despoof.service.config import ServiceConfig
from despoof.service.errors import RefusedError, overloaded, stopping
from despoof.service.schemas import ClipResult, ImageResult, clip_result, image_result
from despoof.verdict import Verdict

LOG = logging.getLogger("despoof.service")
CLIP_WEIGHT = 4  # images that a clip counts as, while it is under way
STUCK = 4  # times `answer_seconds` in one step, after which the service calls itself not ready


@dataclass(frozen=True)
class Submission:
    """The bytes of an image or a clip, when its answer is due, and where it goes."""

    data: bytes = field(repr=False)
    explain: bool
    due: float  # on the monotonic clock
    future: "Future[ImageResult | ClipResult]" = field(default_factory=Future)


Waiting = queue.Queue[Submission | None]
Answer = Callable[[Guard, list[Submission]], None]


class Workers:
    """Loads guards and judges with them, so that the event loop stays free.

    `photos` threads judge photos, and one more judges `clips`; each calls `load` once, never two at a time. While a
    batch is judged, what arrives waits and is the next batch. `on_batch` is told how many photos each has. A guard
    that cannot be loaded leaves the service not ready for good: restart with weights.
    """

    def __init__(
        self, load: Callable[[], Guard], config: ServiceConfig, on_batch: Callable[[int], None],
        *, photos: int = 1, clips: bool = True,
    ) -> None:  # fmt: skip
        self._load, self._config, self._on_batch = load, config, on_batch
        self._photos: Waiting = queue.Queue(config.waiting)
        self._clips: Waiting = queue.Queue(max(1, config.waiting // CLIP_WEIGHT))
        work = [(self._photos, config.at_once, self._answer_photos)] * photos
        work += [(self._clips, 1, self._answer_clips)] if clips else []
        self._threads = [threading.Thread(target=self._run, args=args, name="judge", daemon=True) for args in work]
        self._loading, self._stopping = threading.Lock(), threading.Event()
        self._loaded, self._failed = 0, False
        self._steps: dict[int, float] = {}  # thread -> when it began the batch or frame it is at
        self.guard: Guard | None = None

    def start(self) -> None:
        """Begin to load; `state` says when that is done."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Finish batches and frames in work, refuse the rest and wait for the threads at most so long."""
        self._stopping.set()
        _wake(self._photos)
        _wake(self._clips)
        end = monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end - monotonic()))

    @property
    def state(self) -> str:
        """`loading`, `ready`, `failed` (weights missing or broken, or a thread died) or `stuck`."""
        if self._failed or (self._loaded and not all(thread.is_alive() for thread in self._threads)):
            return "failed"
        if self._loaded < len(self._threads):
            return "loading"
        longest = monotonic() - min(self._steps.copy().values(), default=monotonic())
        return "stuck" if longest > STUCK * self._config.answer_seconds else "ready"

    @property
    def waiting(self) -> int:
        """How many images and clips wait for a thread."""
        return self._photos.qsize() + self._clips.qsize()

    def must_be_ready(self) -> None:
        """Refuse with 503 unless every thread has a guard: without weights nothing is decided."""
        if (state := self.state) != "ready":
            raise RefusedError(503, "not_ready", f"the service is {state}; see its log and /readyz.", retry_after="5")

    def submit(self, data: bytes, *, explain: bool = False, clip: bool = False) -> "Future[ImageResult | ClipResult]":
        """Queue one image or clip; a full queue is refused with 503."""
        self.must_be_ready()
        submission = Submission(data, explain, monotonic() + self._config.answer_seconds)
        try:
            (self._clips if clip else self._photos).put_nowait(submission)
        except queue.Full:
            raise overloaded() from None
        return submission.future

    def _run(self, waiting: Waiting, at_once: int, answer: Answer) -> None:
        try:
            with self._loading:
                guard = self._load()
                _warm_up(guard)
                if self.guard is not None and guard.weights != self.guard.weights:
                    raise RuntimeError("the weights changed while they were loaded")
                self.guard, self._loaded = guard, self._loaded + 1
        except Exception:
            LOG.exception("no weights: every check is refused until a restart with weights that load")
            self._failed = True
            return
        while not self._stopping.is_set():
            taken = _take(waiting, at_once)
            self._step()
            begun = [submission for submission in taken if submission.future.set_running_or_notify_cancel()]
            if begun:
                answer(guard, begun)
            del self._steps[threading.get_ident()]
        for submission in _drain(waiting, self._config.waiting):
            if submission.future.set_running_or_notify_cancel():
                submission.future.set_exception(stopping())
        _wake(waiting)  # the next thread of this queue

    def _step(self) -> None:
        self._steps[threading.get_ident()] = monotonic()

    def _answer_photos(self, guard: Guard, batch: list[Submission]) -> None:
        self._on_batch(len(batch))
        try:
            verdicts = guard.check_many([photo.data for photo in batch])
        except Exception:  # one image must not take the others down
            LOG.exception("a batch of %d failed; its images are judged one by one", len(batch))
            verdicts = None
        decimals = self._config.decimals
        for i, photo in enumerate(batch):
            with _settling(photo) as settle:
                verdict = guard.check_many([photo.data])[0] if verdicts is None else verdicts[i]
                verdict = _shown(guard, verdict) if photo.explain else verdict
                settle(image_result(verdict, explain=photo.explain, decimals=decimals))

    def _answer_clips(self, guard: Guard, batch: list[Submission]) -> None:
        config = self._config
        for clip in batch:
            with _settling(clip) as settle:
                left = max(clip.due - monotonic(), 1e-3)
                rule = ClipRule(
                    max_seconds=config.max_video_seconds, max_pixels=config.max_video_pixels, work_seconds=left
                )
                frames = self._until_due(read_clip(clip.data, rule), clip.due)
                settle(clip_result(judge_clip(guard, frames, rule), decimals=config.decimals))

    def _until_due(self, frames: Iterator[Frame], due: float) -> Iterator[Frame]:
        """Pass frames on while somebody waits for the answer. Each is a step, so that a long clip is not `stuck`."""
        for frame in frames:
            if self._stopping.is_set():
                raise stopping()
            if monotonic() > due:
                raise RefusedError(503, "timeout", "the clip was not judged in time. Send a shorter one.")
            self._step()
            yield frame


@contextlib.contextmanager
def _settling(submission: Submission) -> Iterator[Callable[[ImageResult | ClipResult], None]]:
    """Hand out what sets the result; whatever is raised instead goes to who waits for it."""
    try:
        yield submission.future.set_result
    except Exception as error:
        if not isinstance(error, RefusedError):
            LOG.exception("an image or clip could not be judged")
        submission.future.set_exception(error)


def _shown(guard: Guard, verdict: Verdict) -> Verdict:
    """Return the verdict with its pictures; where their generator is missing, whoever asks for them is refused."""
    try:
        return guard.with_counterpart(verdict)
    except ArtefactError:
        LOG.exception("no generator: pictures are refused until a restart with one")
        raise RefusedError(
            403, "no_explanations", "this service has no generator to make pictures with. Ask without explain."
        ) from None


def _take(waiting: Waiting, most: int) -> list[Submission]:
    """Wait for one submission, and take what waits behind it."""
    first = waiting.get()
    return [] if first is None else [first, *_drain(waiting, most - 1)]


def _drain(waiting: Waiting, most: int) -> list[Submission]:
    found: list[Submission] = []
    with contextlib.suppress(queue.Empty):
        while len(found) < most:
            if (submission := waiting.get_nowait()) is not None:
                found.append(submission)
    return found


def _wake(waiting: Waiting) -> None:
    with contextlib.suppress(queue.Full):  # who finds a full queue does not sleep
        waiting.put_nowait(None)


def _warm_up(guard: Guard) -> None:
    """Judge one picture with a face, so that the first caller does not wait for libraries to load."""
    guard.check_many([portrait()])
