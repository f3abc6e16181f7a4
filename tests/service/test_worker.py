"""Photos in batches, clips beside them, bounded queues, and nothing judged without weights; a worker that dies or
swallows a submission in silence would leave callers waiting, or worse, let them through."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="the extra `serve` is not installed")

from despoof.clip.frame import Frame
from despoof.errors import ArtefactError
from despoof.service.config import ServiceConfig
from despoof.service.errors import RefusedError
from despoof.service.worker import Workers


@contextmanager
def running(load: Callable[[], Any], *, photos: int = 1, **limits: Any) -> Iterator[Workers]:
    workers = Workers(load, ServiceConfig(**limits), on_batch=lambda images: None, photos=photos)
    workers.start()
    for _ in range(1000):
        if workers.state != "loading":
            break
        time.sleep(0.005)
    yield workers
    workers.stop()


class Gate:
    """A judge's answer that waits until it is opened; bytes b"bad" raise."""

    def __init__(self, answer: Any) -> None:
        self.entered, self.opened, self.answer = threading.Event(), threading.Event(), answer
        self.seen: list[bytes] = []
        self.threads: set[int] = set()

    def __call__(self, data: bytes) -> Any:
        self.entered.set()
        assert self.opened.wait(10)
        self.seen.append(data)
        self.threads.add(threading.get_ident())
        if data == b"bad":
            raise RuntimeError("broken on this image")
        return self.answer


@pytest.fixture
def gate(make: Any) -> Gate:
    return Gate(make.verdict())


class Clips:
    """Clips whose frames come when they are allowed: `read_clip` of the worker, with an event for every clip."""

    def __init__(self) -> None:
        self.begun: dict[bytes, threading.Event] = {}
        self.go_on: dict[bytes, threading.Event] = {}
        self.ended: list[bytes] = []

    def add(self, name: bytes) -> bytes:
        self.begun[name], self.go_on[name] = threading.Event(), threading.Event()
        return name

    def read(self, name: bytes, rule: Any) -> Iterator[Frame]:
        for number in range(3):
            yield Frame(float(number), np.zeros((64, 64, 3), np.uint8))
            self.begun[name].set()
            assert self.go_on[name].wait(10)
        self.ended.append(name)


@pytest.fixture
def clips(monkeypatch: pytest.MonkeyPatch) -> Clips:
    found = Clips()
    monkeypatch.setattr("despoof.service.worker.read_clip", found.read)
    return found


class Clock:
    """The worker's clock, which stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("despoof.service.worker.monotonic", clock)
    return clock


def test_what_waits_is_judged_together_in_order_by_one_thread(make: Any, gate: Gate) -> None:
    guard = make.stub(gate)
    with running(lambda: guard, at_once=4) as workers:
        first = workers.submit(b"0")
        assert gate.entered.wait(10)
        rest = [workers.submit(b"%d" % i) for i in range(1, 7)]
        assert workers.waiting == 6
        gate.opened.set()
        assert {future.result(10).decision.value for future in [first, *rest]} == {"ATTACK"}
    assert guard.batches == [1, 4, 2]
    assert gate.seen == [b"%d" % i for i in range(7)]
    assert len(gate.threads) == 1
    assert threading.get_ident() not in gate.threads


def test_several_workers_judge_at_the_same_time_each_with_a_guard_of_its_own(make: Any) -> None:
    together = threading.Barrier(2)  # passed only by two threads at once
    guards: list[Any] = []

    def judge(data: bytes) -> Any:
        together.wait(10)
        return make.verdict()

    def load() -> Any:
        guards.append(make.stub(judge))
        return guards[-1]

    with running(load, photos=2, at_once=1) as workers:
        futures = [workers.submit(b"0"), workers.submit(b"1")]
        assert all(future.result(10) for future in futures)
    assert len(guards) == 3  # one more for clips
    assert [guard.batches for guard in guards if guard.batches] == [[1], [1]]


def test_a_photo_is_answered_while_four_clips_are_judged_and_wait(make: Any, clips: Clips) -> None:
    with running(lambda: make.stub(lambda data: make.verdict())) as workers:
        futures = [workers.submit(clips.add(b"%d" % i), clip=True) for i in range(4)]
        assert clips.begun[b"0"].wait(10)
        assert workers.submit(b"photo").result(10).decision.value == "ATTACK"
        assert clips.ended == []
        clips.go_on[b"0"].set()
        assert clips.begun[b"1"].wait(10)
        assert workers.submit(b"photo").result(10).decision.value == "ATTACK"
        assert clips.ended == [b"0"]
        for event in clips.go_on.values():
            event.set()
        assert [future.result(10).frames for future in futures] == [3] * 4
    assert clips.ended == [b"0", b"1", b"2", b"3"]


def test_a_clip_that_waits_can_be_cancelled_and_is_never_begun(make: Any, clips: Clips) -> None:
    with running(lambda: make.stub(None)) as workers:
        first, second, third = (workers.submit(clips.add(name), clip=True) for name in (b"0", b"1", b"2"))
        assert clips.begun[b"0"].wait(10)
        assert second.cancel()
        assert not first.cancel()
        for event in clips.go_on.values():
            event.set()
        assert third.result(10)
    assert clips.ended == [b"0", b"2"]


def test_a_clip_stops_between_frames_when_its_answer_is_overdue(make: Any, clips: Clips, clock: Clock) -> None:
    with running(lambda: make.stub(None), answer_seconds=30) as workers:
        clip = workers.submit(clips.add(b"0"), clip=True)
        assert clips.begun[b"0"].wait(10)
        clock.now += 31
        clips.go_on[b"0"].set()
        with pytest.raises(RefusedError) as refused:
            clip.result(10)
    assert refused.value.name == "timeout"
    assert clips.ended == []


def test_long_clips_one_after_the_other_are_ready_and_a_hung_frame_is_not(
    make: Any, clips: Clips, clock: Clock
) -> None:
    with running(lambda: make.stub(None), answer_seconds=30) as workers:
        for name in (b"%d" % i for i in range(6)):  # together longer than four times the limit
            clip = workers.submit(clips.add(name), clip=True)
            assert clips.begun[name].wait(10)
            clock.now += 29
            assert workers.state == "ready"
            clips.go_on[name].set()
            assert clip.result(10)
        workers.submit(clips.add(b"hung"), clip=True)
        assert clips.begun[b"hung"].wait(10)
        clock.now += 121
        assert workers.state == "stuck"
        clips.go_on[b"hung"].set()


def test_a_full_queue_refuses_and_keeps_what_it_has(make: Any, gate: Gate) -> None:
    limits = {"waiting": 2, "per_caller": 2, "max_images": 2}
    with running(lambda: make.stub(gate), **limits) as workers:
        kept = [workers.submit(b"0")]
        assert gate.entered.wait(10)
        kept += [workers.submit(b"1"), workers.submit(b"2")]
        with pytest.raises(RefusedError) as refused:
            workers.submit(b"3")
        assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
        gate.opened.set()
        assert all(future.result(10) for future in kept)


def test_one_broken_image_does_not_take_the_others_down(make: Any, gate: Gate) -> None:
    with running(lambda: make.stub(gate)) as workers:
        first = workers.submit(b"0")
        assert gate.entered.wait(10)
        futures = [workers.submit(data) for data in (b"1", b"bad", b"3")]
        gate.opened.set()
        assert first.result(10)
        assert futures[0].result(10).liveness == futures[2].result(10).liveness == 0.123
        with pytest.raises(RuntimeError, match="broken on this image"):
            futures[1].result(10)
        assert workers.state == "ready"


def test_a_cancelled_photo_is_never_judged(make: Any, gate: Gate) -> None:
    with running(lambda: make.stub(gate)) as workers:
        first = workers.submit(b"0")
        assert gate.entered.wait(10)
        dropped, kept = workers.submit(b"1"), workers.submit(b"2")
        assert dropped.cancel()
        gate.opened.set()
        assert first.result(10)
        assert kept.result(10)
    assert gate.seen == [b"0", b"2"]


def test_without_weights_everything_is_refused_for_good() -> None:
    def load() -> Any:
        raise ArtefactError("weights file x is missing")

    with running(load) as workers:
        assert workers.state == "failed"
        with pytest.raises(RefusedError) as refused:
            workers.submit(b"0")
    assert refused.value.status == 503


def test_weights_that_fail_their_first_picture_are_no_weights(make: Any) -> None:
    guard = make.stub(None)
    guard.check_many = lambda sources: 1 / 0
    with running(lambda: guard) as workers:
        assert workers.state == "failed"


def test_workers_with_different_weights_are_not_ready(make: Any) -> None:
    hashes = iter("ab")
    with running(lambda: make.stub(None, weights={"detector": next(hashes)})) as workers:
        assert workers.state == "failed"


def test_while_it_loads_it_refuses_and_says_to_wait(make: Any) -> None:
    may_load = threading.Event()
    workers = Workers(lambda: may_load.wait(10) and make.stub(None), ServiceConfig(), on_batch=lambda images: None)
    workers.start()
    assert workers.state == "loading"
    with pytest.raises(RefusedError) as refused:
        workers.must_be_ready()
    assert refused.value.headers == {"retry-after": "5"}
    may_load.set()
    workers.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_not_ready(make: Any) -> None:
    def die(data: bytes) -> Any:
        raise SystemExit

    with running(lambda: make.stub(die)) as workers:
        workers.submit(b"0")
        workers._threads[0].join(10)
        assert workers.state == "failed"


def test_a_batch_that_takes_for_ever_is_not_ready(make: Any, gate: Gate, clock: Clock) -> None:
    with running(lambda: make.stub(gate), answer_seconds=1) as workers:
        workers.submit(b"0")
        assert gate.entered.wait(10)
        clock.now += 4.5  # four times the limit is 4 s
        assert workers.state == "stuck"
        gate.opened.set()


def test_stopping_finishes_the_batch_in_work_and_refuses_the_rest(make: Any, gate: Gate) -> None:
    with running(lambda: make.stub(gate), at_once=1) as workers:
        first = workers.submit(b"0")
        assert gate.entered.wait(10)
        rest = [workers.submit(b"%d" % i) for i in range(1, 4)]
        threading.Timer(0.05, gate.opened.set).start()
        workers.stop()
        assert first.result(0)
        for future in rest:
            with pytest.raises(RefusedError, match="stopping"):
                future.result(0)
    assert gate.seen == [b"0"]


def test_stopping_ends_a_clip_between_frames_and_refuses_those_behind_it(make: Any, clips: Clips) -> None:
    with running(lambda: make.stub(None), photos=3) as workers:
        futures = [workers.submit(clips.add(name), clip=True) for name in (b"0", b"1")]
        assert clips.begun[b"0"].wait(10)
        threading.Timer(0.05, clips.go_on[b"0"].set).start()
        workers.stop()
        assert not any(thread.is_alive() for thread in workers._threads)
        assert [future.exception(0).name for future in futures] == ["stopping", "stopping"]
    assert clips.ended == []
