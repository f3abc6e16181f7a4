"""Processes that do one thing to many items: they start alike on every system, and never outlive who started them."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
FEW = 2  # items per process below which starting one is slower than doing its work here


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, *, chunk: int = 16
) -> Iterator[Result]:
    """Yield `function(item)` in order, from `workers` processes, or from this one where there is little to do.

    The function must be found by its module and name, for processes may be started afresh: on macOS, on Windows, from
    Python 3.14 on, and where torch or ONNX Runtime may hold threads, which a fork would wait for in vain.
    """
    if workers < 2 or len(items) < FEW * chunk:
        yield from map(function, items)
        return
    fresh = "torch" in sys.modules or "onnxruntime" in sys.modules
    context = multiprocessing.get_context("spawn" if fresh else None)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start) as pool:
        yield from pool.map(function, items, chunksize=chunk)


def _start() -> None:
    import cv2

    cv2.setNumThreads(1)  # processes share the cores
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a killed parent closes no queue, and a worker would wait at one for ever
