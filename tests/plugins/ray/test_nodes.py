from functools import partial

import numpy as np
import pytest
import ray_objects
from tasks import double

import corewise

ray = pytest.importorskip("ray", reason="Ray is installed for one Python only")

import ray_tasks as work  # noqa: E402 - it imports Ray

# Ray opens a connection to each worker when it is first used; a node is a child of its own.
pytestmark = [pytest.mark.leaves("file descriptors", "child processes", "runtime"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def cluster(ray_options):
    """Two nodes on this machine, with one CPU each; the driver is on the first."""
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 1,
        "object_store_memory": 150 << 20,
        "temp_dir": ray_options["_temp_dir"],
        # A node that is gone refuses each question of the head at once; one that is slow has 10 s to answer each.
        "_system_config": {"health_check_initial_delay_ms": 500, "health_check_period_ms": 300},
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    corewise.reset()
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module", autouse=True)
def executor(cluster):
    with corewise.executor("ray", workers=3, scheduling_strategy="SPREAD") as executor:
        yield executor


def alive():
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


@pytest.mark.leaves("signal handlers")  # Ray sets one for each node that a cluster of tests gets
@pytest.mark.parametrize("ordered", [True, False])
def test_a_third_node_that_is_removed_in_the_middle_costs_no_item_and_none_comes_twice(
    cluster, executor, tmp_path, patiently, ordered
):
    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    used = partial(work.on_node, str(tmp_path))
    # A node whose first worker has yet to start would get nothing of a map that takes what comes first.
    patiently(lambda: list(executor.map(used, range(30), chunksize=1)) and len([*tmp_path.iterdir()]) == 3)
    begun = executor.map(used, range(5000), chunksize=20, ordered=ordered)
    results = [next(begun) for _ in range(1500)]
    nodes = {path.name for path in tmp_path.iterdir()}
    assert nodes == alive()
    assert len(nodes) == 3
    cluster.remove_node(node, allow_graceful=False)
    patiently(lambda: len(alive()) == 2)
    for path in tmp_path.iterdir():
        path.unlink()
    results += begun
    assert (results if ordered else sorted(results)) == list(range(5000))
    assert {path.name for path in tmp_path.iterdir()} >= alive()


def test_tasks_that_no_node_could_run_are_made_smaller_with_a_warning():
    corewise.reset()
    corewise.configure(num_cpus=64)
    try:
        with pytest.warns(corewise.ExecutorWarning, match="may use 32 CPUs each, but the largest node has 1"):
            executor = corewise.executor("ray", workers=2)
        with executor:
            assert executor.submit(double, 2).result(timeout=120) == 4
    finally:
        corewise.reset()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"num_cpus": 64}, r"executors\.ray\.num_cpus = 64, but the largest node has 1; lower it"),
        ({"num_gpus": 0.5}, r"executors\.ray\.num_gpus = 0\.5, but the largest node has 0; lower it"),
        ({"resources": {"disk": 3}}, r"executors\.ray\.resources\['disk'\] = 3, but the largest node has 0; lower it"),
    ],
)
def test_what_no_node_has_is_told_where_one_may_still_be_added(asked, told):
    corewise.reset()
    corewise.configure(num_cpus=1)
    try:
        with pytest.warns(corewise.ExecutorWarning, match=told):
            corewise.executor("ray", workers=1, **asked).shutdown()
    finally:
        corewise.reset()


def test_actors_are_spread_over_the_nodes(cluster):
    corewise.reset()
    corewise.configure(num_cpus=2)
    try:
        with corewise.actors(ray_objects.Counter, 0, num_workers=2, executor="ray") as pool:
            assert {future.result(timeout=120) for future in pool.each("node")} == alive()
    finally:
        corewise.reset()


def test_arrays_cross_from_node_to_node(cluster, executor, tmp_path):
    arrays = [np.full(1 << 18, float(number)) for number in range(12)]
    found = list(executor.map(partial(work.more, str(tmp_path)), arrays))
    assert [(array.min(), array.max(), len(array)) for array in found] == [(n + 1, n + 1, 1 << 18) for n in range(12)]
    assert {path.name for path in tmp_path.iterdir()} == alive()


def test_tensors_cross_from_node_to_node(cluster, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is installed where its wheel is at hand")
    tensors = [torch.full((1 << 18,), float(number)) for number in range(12)]
    with corewise.executor("ray", workers=2, scheduling_strategy="SPREAD", zero_copy_tensors=True) as executor:
        found = list(executor.map(partial(work.more, str(tmp_path)), tensors))
    assert all(torch.equal(there, here + 1) for there, here in zip(found, tensors, strict=True))
    assert {path.name for path in tmp_path.iterdir()} == alive()
