"""A Ray cluster of two machines, simulated on one: the same results as processes give, whoever dies in between."""

import os
import signal
import sys
from functools import partial

import pytest

from despoof.errors import InputError
from despoof.runs.pool import Lost, Pool
from pool_work import deadly, mixed, refuses, told

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


def test_a_worker_and_a_machine_die_and_nothing_is_lost_or_comes_twice(cluster, tmp_path):
    found = []
    for item, result in Pool("ray").outcomes(partial(told, str(tmp_path)), range(60)):
        assert item == result
        found.append(item)
        if len(found) == 10:
            os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)
        if len(found) == 25:
            cluster.remove_node(cluster.machines.pop(), allow_graceful=False)
    assert sorted(found) == list(range(60))
