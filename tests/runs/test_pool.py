"""Work in processes is the same work, needs no fork, and ends when who asked for it is killed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import despoof
from despoof.runs.pool import in_processes


@pytest.mark.parametrize("fresh", [False, True])
def test_order_and_results_are_those_of_one_process(fresh, monkeypatch):
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    if fresh:
        monkeypatch.setitem(sys.modules, "torch", None)
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert list(in_processes(abs, range(-5, 5), 2, chunk=2)) == list(map(abs, range(-5, 5)))
    (method,) = set(in_processes(_start_method, range(4), 2, chunk=1))
    assert (method == "spawn") is (fresh or multiprocessing.get_start_method() == "spawn")


def _start_method(_: int) -> str:
    """Only a process that was started afresh has been told how its own are to be started."""
    return multiprocessing.get_start_method(allow_none=True) or "default"


def test_a_few_items_start_no_process():
    kept: list[object] = []
    assert list(in_processes(kept.append, [1, 2, 3], 4, chunk=2)) == [None] * 3
    assert kept == [1, 2, 3]  # in this process


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the children of a process are read from /proc")
def test_killed_work_leaves_no_process():
    program = "import time; from despoof.runs.pool import in_processes as run; [*run(time.sleep, [60] * 8, 2, chunk=1)]"
    environment = {"PYTHONPATH": str(Path(despoof.__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment)
    task = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    children: set[int] = set()
    while len(children) < 2 and parent.poll() is None:
        time.sleep(0.05)
        children = set(map(int, task.read_text().split()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert len(children) == 2
    for _ in range(100):
        if not any(Path(f"/proc/{child}").exists() for child in children):
            return
        time.sleep(0.1)
    for child in children:
        os.kill(child, signal.SIGKILL)
    pytest.fail("workers went on without the process that started them")
