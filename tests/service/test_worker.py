"""One thread, batches from what waits, a bounded queue, and nothing judged without weights; a worker that dies or
swallows a job in silence would leave callers waiting, or worse, let them through."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("pydantic", reason="the extra `serve` is not installed")

from despoof.errors import ArtefactError
from despoof.service.config import ServiceConfig
from despoof.service.errors import RefusedError
from despoof.service.worker import Judge


@contextmanager
def running(load: Callable[[], Any], **limits: Any) -> Iterator[Judge]:
    judge = Judge(load, ServiceConfig(**limits), on_batch=lambda images: None)
    judge.start()
    for _ in range(1000):
        if judge.state != "loading":
            break
        time.sleep(0.005)
    yield judge
    judge.stop()


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


def test_what_waits_is_judged_together_in_order_by_one_thread(make: Any, gate: Gate) -> None:
    guard = make.stub(gate)
    with running(lambda: guard, at_once=4) as judge:
        first = judge.submit(b"0", False)
        assert gate.entered.wait(10)
        rest = [judge.submit(b"%d" % i, False) for i in range(1, 7)]
        assert judge.waiting == 6
        gate.opened.set()
        assert {future.result(10).decision.value for future in [first, *rest]} == {"ATTACK"}
    assert guard.batches == [1, 4, 2]
    assert gate.seen == [b"%d" % i for i in range(7)]
    assert len(gate.threads) == 1
    assert threading.get_ident() not in gate.threads


def test_a_full_queue_refuses_and_keeps_what_it_has(make: Any, gate: Gate) -> None:
    limits = {"waiting": 2, "per_caller": 2, "max_images": 2}
    with running(lambda: make.stub(gate), **limits) as judge:
        kept = [judge.submit(b"0", False)]
        assert gate.entered.wait(10)
        kept += [judge.submit(b"1", False), judge.submit(b"2", False)]
        with pytest.raises(RefusedError) as refused:
            judge.submit(b"3", False)
        assert (refused.value.status, refused.value.retry_after) == (503, 1)
        gate.opened.set()
        assert all(future.result(10) for future in kept)


def test_one_broken_image_does_not_take_the_others_down(make: Any, gate: Gate) -> None:
    with running(lambda: make.stub(gate)) as judge:
        first = judge.submit(b"0", False)
        assert gate.entered.wait(10)
        futures = [judge.submit(data, False) for data in (b"1", b"bad", b"3")]
        gate.opened.set()
        assert first.result(10)
        assert futures[0].result(10).liveness == futures[2].result(10).liveness == 0.123
        with pytest.raises(RuntimeError, match="broken on this image"):
            futures[1].result(10)
        assert judge.state == "ready"


def test_a_cancelled_job_is_never_judged(make: Any, gate: Gate) -> None:
    with running(lambda: make.stub(gate)) as judge:
        first = judge.submit(b"0", False)
        assert gate.entered.wait(10)
        dropped, kept = judge.submit(b"1", False), judge.submit(b"2", False)
        assert dropped.cancel()
        gate.opened.set()
        assert first.result(10)
        assert kept.result(10)
    assert gate.seen == [b"0", b"2"]


def test_without_weights_everything_is_refused_for_good() -> None:
    def load() -> Any:
        raise ArtefactError("weights file x is missing")

    with running(load) as judge:
        assert judge.state == "failed"
        with pytest.raises(RefusedError) as refused:
            judge.submit(b"0", False)
    assert refused.value.status == 503


def test_weights_that_fail_their_first_picture_are_no_weights(make: Any) -> None:
    guard = make.stub(None)
    guard.check_many = lambda sources: 1 / 0
    with running(lambda: guard) as judge:
        assert judge.state == "failed"


def test_while_it_loads_it_refuses_and_says_to_wait(make: Any) -> None:
    may_load = threading.Event()
    judge = Judge(lambda: may_load.wait(10) and make.stub(None), ServiceConfig(), on_batch=lambda images: None)
    judge.start()
    assert judge.state == "loading"
    with pytest.raises(RefusedError) as refused:
        judge.must_be_ready()
    assert refused.value.retry_after == 5
    may_load.set()
    judge.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_not_ready(make: Any) -> None:
    def die(data: bytes) -> Any:
        raise SystemExit

    with running(lambda: make.stub(die)) as judge:
        judge.submit(b"0", False)
        judge._thread.join(10)
        assert judge.state == "failed"


def test_a_batch_that_takes_for_ever_is_not_ready(make: Any, gate: Gate) -> None:
    with running(lambda: make.stub(gate), answer_seconds=0.01) as judge:
        judge.submit(b"0", False)
        assert gate.entered.wait(10)
        time.sleep(0.06)  # four times the limit is 0.04 s
        assert judge.state == "stuck"
        gate.opened.set()


def test_stopping_finishes_the_batch_in_work_and_refuses_the_rest(make: Any, gate: Gate) -> None:
    with running(lambda: make.stub(gate), at_once=1) as judge:
        first = judge.submit(b"0", False)
        assert gate.entered.wait(10)
        rest = [judge.submit(b"%d" % i, False) for i in range(1, 4)]
        threading.Timer(0.05, gate.opened.set).start()
        judge.stop()
        assert first.result(0)
        for future in rest:
            with pytest.raises(RefusedError, match="stopping"):
                future.result(0)
    assert gate.seen == [b"0"]
