"""Work in processes is the same work, needs no fork, and ends when who asked for it is killed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import count, islice
from pathlib import Path

import pytest

import despoof
from despoof.errors import ConfigError, InputError
from despoof.runs.pool import Lost, Pool, in_processes
from pool_work import deadly, dies_once, mixed, refuses


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


def test_a_worker_that_dies_takes_nothing_with_it_but_its_item(tmp_path):
    found = dict(Pool(workers=2).outcomes(deadly, range(40)))
    assert isinstance(found.pop(7), Lost)
    assert found == {item: -item for item in range(40) if item != 7}
    once = list(Pool(workers=2).outcomes(partial(dies_once, str(tmp_path)), range(12)))
    assert sorted(once) == [(item, -item) for item in range(12)]  # none twice


def test_in_order_a_lost_item_is_an_error_that_names_it():
    with pytest.raises(InputError, match=r"4 items from '4' on"):
        list(Pool(workers=2).map(deadly, range(16), chunk=4))


def test_all_of_many_come_however_quick_they_are():
    assert sorted(Pool(workers=1).outcomes(mixed, range(500))) == [(item, mixed(item)) for item in range(500)]


def test_items_are_drawn_as_workers_get_free():
    endless = count()
    first = list(islice(Pool(workers=1).outcomes(abs, endless), 5))
    assert len({item for item, _ in first}) == 5
    assert max(item for item, _ in first) < next(endless) < 10


def test_what_the_function_raises_is_raised_here():
    with pytest.raises(InputError, match="item 3 is refused"):
        list(Pool(workers=1).outcomes(refuses, [3]))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"name": "dask"}, "local, ray"), ({"workers": 0}, "at least one"), ({"address": "auto"}, "--pool ray")],
)
def test_a_pool_that_cannot_be_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        Pool(**options)
