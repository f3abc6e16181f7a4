"""A Ray cluster of two machines, simulated on one: the same results as processes give, whoever dies in between."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from despoof.batch.job import score
from despoof.batch.manifest import Listing
from despoof.batch.shards import Shards, schema
from despoof.errors import InputError
from despoof.runs.pool import Lost, Pool
from pool_work import deadly, mixed, quick, refuses, told

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = pytest.mark.slow
SMALL = {"object_store_memory": 80 * 2**20}  # bytes; Ray takes no less than 75 MiB


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPATH", os.pathsep.join(each for each in sys.path if each))  # workers find what tests find
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False} | SMALL)
    made.machines = [made.add_node(num_cpus=1, **SMALL) for _ in range(2)]
    ray.init(address=made.address, logging_level="error", log_to_driver=False)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()
    patch.undo()


def test_results_are_those_of_processes(cluster):
    pools = Pool("ray"), Pool("local")
    mine, other = (dict(pool.outcomes(mixed, range(40))) for pool in pools)
    assert mine == other == {item: mixed(item) for item in range(40)}
    assert list(pools[0].map(mixed, range(40), chunk=3)) == [mixed(item) for item in range(40)]  # in order


def test_an_item_over_which_every_worker_dies_is_lost_alone(cluster):
    found = dict(Pool("ray").outcomes(deadly, range(5, 10)))
    assert isinstance(found.pop(7), Lost)
    assert found == {item: -item for item in (5, 6, 8, 9)}


def test_what_the_function_raises_is_raised_here(cluster):
    with pytest.raises(InputError, match="item 3 is refused"):
        list(Pool("ray").outcomes(refuses, [3]))


def test_a_worker_and_a_machine_die_and_no_row_is_lost_or_comes_twice(cluster, tmp_path):
    """In mid-run of a batch job, whose rows are then those of processes of one machine."""
    pytest.importorskip("pyarrow")
    (tmp_path / "rows.csv").write_text("id,path\n" + "".join(f"{i},{i}.jpg\n" for i in range(600)))
    (tmp_path / "pids").mkdir()
    listing, work = Listing(str(tmp_path / "rows.csv"), id="id"), partial(told, str(tmp_path / "pids"))
    killed = []

    def kill() -> None:
        while not (pids := list((tmp_path / "pids").iterdir())):
            time.sleep(0.1)
        os.kill(int(pids[0].name), signal.SIGKILL)
        time.sleep(2)
        cluster.remove_node(cluster.machines.pop(), allow_graceful=False)
        killed.extend(pids[:1])

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    score(listing, tmp_path / "cluster", pool=Pool("ray"), judging=work)
    assert killed  # before the job had ended
    killer.join()
    score(listing, tmp_path / "here", pool=Pool("local"), judging=quick)
    mine, other = (
        sorted((row["id"], str(row)) for batch in Shards(tmp_path / name).batches(schema().names)
               for row in batch.to_pylist())
        for name in ("cluster", "here")
    )  # fmt: skip
    assert len(mine) == 600
    assert mine == other


def test_members_of_a_detector_are_those_of_one_process(cluster, tmp_path):
    from despoof.detector.config import TINY, TINY_TRAINING, DetectorRecipe
    from despoof.detector.recipe import FILE, train_on_store
    from toys import toy_store

    recipe = DetectorRecipe(replace(TINY, insertion="none"), replace(TINY_TRAINING, steps=2), members=2)
    store, _ = toy_store(tmp_path / "store")
    for name, pool in (("alone", None), ("shared", Pool("ray"))):
        train_on_store(recipe, store, None, tmp_path / name, pool=pool)
    assert (tmp_path / "shared" / FILE).read_bytes() == (tmp_path / "alone" / FILE).read_bytes()
