"""Pools: workers that do one thing to many items, by name. Processes of this machine, or tasks of a Ray cluster.

What is done to an item is the same in all; so are the results. A worker that dies (killed, out of memory, broken by
what it read) takes no other item with it: its item is tried again, alone, and then handed back as `Lost`.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from despoof.errors import ConfigError, InputError
from despoof.runs.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")
FEW = 2  # items per process below which starting one is slower than doing its work here
AHEAD = 2  # items in hand for each process: the one that it does, and the one that it does next
RETRIES = 3  # of an item whose worker or machine died, by Ray
STORE = 256 * 2**20  # bytes of memory that a Ray of this machine may keep results in


class Lost(Exception):  # noqa: N818  it is an outcome as well
    """The worker of an item died, more than once."""


class _Workers(Protocol):
    """Who does the work. `give` hands out an item, `done` waits until at least one of those is; `close` ends all."""

    hands: int  # items that may be given out at a time
    blames: bool  # whether `Lost` is of that very item; else of all that were in hand

    def give(self, item: Any) -> Any: ...
    def done(self, given: list[Any]) -> Iterable[Any]: ...
    def result(self, given: Any) -> Any: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Pool:
    """Who shares the work.

    Args:
        name: local, processes of this machine; or ray, tasks of a Ray cluster, which need the extra `ray`.
        workers: at a time; of a cluster that lacks the room for them, as many as it has.
        address: of a Ray cluster, such as auto or ray://host:10001; without one, a Ray of this machine is started, and
            ended with the work.
        cpus: cores that Ray keeps for a worker.
        gpus: GPUs that Ray keeps for a worker; parts of one may be shared.
    """

    name: str = "local"
    workers: int = 2
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in POOLS:
            raise ConfigError(f"pool {self.name!r}; expected one of {', '.join(POOLS)}. Name one.")
        if self.workers < 1 or self.cpus <= 0 or self.gpus < 0:
            raise ConfigError(
                f"{self.workers} workers of {self.cpus:g} cores and {self.gpus:g} GPUs; expected at least one worker "
                "and more than no core. Correct them."
            )
        if self.name == "local" and self.address is not None:
            raise ConfigError(f"address {self.address!r} with pool local, which has none. Give --pool ray with it.")

    def outcomes(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, "Result | Lost"]]:
        """Yield (item, `function(item)`) as they come, or (item, `Lost`); what the function raises is raised here.

        Items are drawn as workers get free, so there may be any number. The function must be found by its module and
        name. An item may be begun more than once; it comes out once.
        """
        queue, waiting, suspects = iter(items), {}, []
        with closing(POOLS[self.name](function, self)) as workers:
            while True:
                for item in islice(queue, 0 if suspects else workers.hands - len(waiting)):
                    waiting[workers.give(item)] = item
                if waiting:
                    for given in workers.done(list(waiting)):
                        item = waiting.pop(given)
                        found = _ended(workers, given)
                        if isinstance(found, Lost) and not workers.blames:
                            suspects.append(item)
                        else:
                            yield item, found
                elif suspects:
                    item = suspects.pop()  # with no other in hand, so that it alone is to blame
                    yield item, _alone(workers, item)
                else:
                    return

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, chunk: int = 16) -> Iterator[Result]:
        """Yield `function(item)` in order, `chunk` items handed out together; the work of few is done in this process.

        Items over which workers die again and again are an InputError that names the first of them.
        """
        if self.name == "local" and (self.workers < 2 or len(items) < FEW * chunk):
            yield from map(function, items)
            return
        chunks = enumerate(items[first : first + chunk] for first in range(0, len(items), chunk))
        early: dict[int, list[Result]] = {}
        following = 0
        for (number, some), found in self.outcomes(partial(_each, function), chunks):
            if isinstance(found, Lost):
                raise InputError(
                    f"a worker died again and again over {len(some)} items from {str(some[0])[:200]!r} on ({found}). "
                    "Give it more memory, or leave out what breaks it."
                )
            early[number] = found
            while following in early:
                yield from early.pop(following)
                following += 1

    def run(self, function: Callable[[Item], object], items: Sequence[Item], *, title: str) -> None:
        """Call `function(item)` for each, handed out one by one, as `map` does; tell how far it is."""
        for _ in track(self.map(function, items, chunk=1), title, len(items)):
            pass


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, *, chunk: int = 16
) -> Iterator[Result]:
    """Yield `function(item)` in order, from `workers` processes of this machine, see `Pool.map`."""
    return Pool(workers=max(1, workers)).map(function, items, chunk=chunk)


def _each(function: Callable[[Item], Result], numbered: tuple[int, Sequence[Item]]) -> list[Result]:
    return list(map(function, numbered[1]))


def _ended(workers: _Workers, given: Any) -> Any:
    try:
        return workers.result(given)
    except Lost as lost:
        return lost


def _alone(workers: _Workers, item: Any) -> Any:
    given = workers.give(item)
    workers.done([given])
    return _ended(workers, given)


class _Processes:
    """Processes of one thread each, which start alike on every system and never outlive who started them.

    They are started afresh on macOS, on Windows, from Python 3.14 on, and where torch or ONNX Runtime may hold threads,
    which a fork would wait for in vain.
    """

    blames = False  # one that dies breaks the pool for all

    def __init__(self, function: Callable, pool: Pool) -> None:
        self.function, self.workers, self.hands = function, pool.workers, AHEAD * pool.workers
        self.executor = self._opened()

    def _opened(self) -> ProcessPoolExecutor:
        fresh = "torch" in sys.modules or "onnxruntime" in sys.modules
        context = multiprocessing.get_context("spawn" if fresh else None)
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start)

    def give(self, item: Any) -> Future:
        try:
            return self.executor.submit(self.function, item)
        except BrokenProcessPool:
            self.executor.shutdown()
            self.executor = self._opened()
            return self.executor.submit(self.function, item)

    def done(self, given: list[Future]) -> set[Future]:
        return wait(given, return_when=FIRST_COMPLETED).done

    def result(self, given: Future) -> Any:
        try:
            return given.result()
        except BrokenProcessPool as error:
            raise Lost(str(error)) from None

    def close(self) -> None:
        self.executor.shutdown(cancel_futures=True)


class _RayTasks:
    """Tasks of a Ray cluster. Ray starts their processes, keeps them, and does again what died with one or a machine.

    Tasks and not actors: what a worker holds (weights) is kept by its process, and a machine that comes later joins in.
    """

    blames = True

    def __init__(self, function: Callable, pool: Pool) -> None:
        self.ray, self.hands = _ray(), pool.workers
        here = {"num_cpus": max(1, round(pool.workers * pool.cpus)), "object_store_memory": STORE}
        self.started = join_ray(pool.address, here, log_to_driver=False)
        # max_calls 0: Ray would end a process after each task that has a GPU, and its weights with it
        remote = self.ray.remote(num_cpus=pool.cpus, num_gpus=pool.gpus, max_calls=0, max_retries=RETRIES)
        self.task, self.function = remote(_in_one_thread), self.ray.put(function)

    def give(self, item: Any) -> Any:
        return self.task.remote(self.function, item)

    def done(self, given: list[Any]) -> list[Any]:
        return self.ray.wait(given, num_returns=1)[0]

    def result(self, given: Any) -> Any:
        raised = self.ray.exceptions
        try:
            return self.ray.get(given)
        except raised.RayTaskError as error:
            raise error.cause from error
        except (raised.WorkerCrashedError, raised.NodeDiedError, raised.OutOfMemoryError, raised.ObjectLostError) as e:
            raise Lost(f"{type(e).__name__} {RETRIES + 1} times") from None

    def close(self) -> None:
        if self.started:
            self.ray.shutdown()


POOLS: dict[str, Callable[[Callable, Pool], _Workers]] = {"local": _Processes, "ray": _RayTasks}


def join_ray(address: str | None, here: dict[str, Any], *, log_to_driver: bool) -> bool:
    """Join a Ray cluster, or without an address start Ray on this machine with the options `here`.

    Return whether this call did it, who then has to `ray.shutdown()`; where Ray runs already nothing is done. What does
    not answer is a ConfigError.
    """
    ray = _ray()
    if ray.is_initialized():
        return False
    where = {"address": "local", "include_dashboard": False} | here if address is None else {"address": address}
    try:
        ray.init(**where, logging_level="warning", log_to_driver=log_to_driver)
    except Exception as error:  # Ray's own are of no common kind
        raise ConfigError(
            f"Ray at {address or 'this machine'} does not answer ({error}). Correct --address, or start it: "
            "ray start --head"
        ) from None
    return True


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls home
    try:
        import ray
    except ImportError:
        raise ConfigError("pool ray needs ray, not installed. Run: pip install 'despoof[ray]'") from None
    return ray


def _in_one_thread(function: Callable[[Item], Result], item: Item) -> Result:
    _one_thread()
    return function(item)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)  # processes share the cores


def _start() -> None:
    _one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a killed parent closes no queue, and a worker would wait at one for ever
