import importlib.util
import os
import re
import warnings
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

import corewise

ray = pytest.importorskip("ray", reason="Ray is installed for one Python only")

# Ray opens a connection to each worker when it is first used; the module resets what was resolved.
pytestmark = pytest.mark.leaves("file descriptors", "child processes", "runtime")
needs_polars = pytest.mark.skipif(
    importlib.util.find_spec("polars") is None, reason="polars is not installed: uv sync --group backends"
)


@pytest.fixture(scope="module", autouse=True)
def cluster(ray_options):
    """One worker at a time, which Ray uses again for whoever comes next."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": 100 << 20, "temp_dir": ray_options["_temp_dir"]}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    corewise.reset()
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def node_of_another_user(cluster):
    """A node where OpenBLAS was given three threads before `ray start`."""
    node = cluster.add_node(
        num_cpus=1,
        resources={"other": 1},
        object_store_memory=100 << 20,
        env_vars={"OPENBLAS_NUM_THREADS": "3"},
    )
    yield
    cluster.remove_node(node)


@pytest.fixture(autouse=True)
def _few_threads():
    corewise.reset()
    corewise.configure(num_cpus=1, num_threads=1, num_backend_threads=1)
    yield
    corewise.reset()


def pool_of_polars(_=None):
    import polars as pl

    return pl.thread_pool_size()


@ray.remote
def build_pool_of_polars(threads):
    """Do what a task of somebody else may have done in a process that Ray uses again."""
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    size = pool_of_polars()
    del os.environ["POLARS_MAX_THREADS"]
    return size


def openblas(_):
    """Return what the variables ask for, and whether the library heard: it takes no more than there are CPUs."""
    import threadpoolctl

    live = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
    asked = os.environ["OPENBLAS_NUM_THREADS"]
    return asked, live == {min(int(asked), len(os.sched_getaffinity(0)))}


def told(run):
    """Return the text of each warning of the executor, and the file that it names."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", corewise.ExecutorWarning)
        run()
    return [(str(warning.message), warning.filename) for warning in caught]


@needs_polars
def test_a_pool_that_others_built_in_a_worker_is_told_once_per_executor_with_place_numbers_and_mend():
    assert ray.get(build_pool_of_polars.remote(5)) == 5

    def run():
        with corewise.executor("ray", workers=1) as executor:
            assert list(executor.map(pool_of_polars, range(2), chunksize=1)) == [5, 5]
            assert executor.submit(pool_of_polars).result(timeout=60) == 5

    for _ in range(2):
        [(text, file)] = told(run)
        assert re.match(r"executor 'ray': the worker of process \d+ on node [\d.]+ is not as asked: polars has 5", text)
        assert "polars has 5 threads, 1 asked" in text
        assert "by any runtime_env of executors.ray" in text
        assert file == __file__


@needs_polars
def test_a_runtime_environment_mends_it_as_the_warning_says():
    assert ray.get(build_pool_of_polars.remote(5)) == 5

    def run():
        with corewise.executor("ray", workers=1, runtime_env={"env_vars": {"ANY": "1"}}) as executor:
            assert list(executor.map(pool_of_polars, range(2))) == [1, 1]

    assert told(run) == []


@needs_polars
def test_a_warning_that_is_an_error_reaches_who_waits_for_a_result():
    assert ray.get(build_pool_of_polars.remote(5)) == 5
    with corewise.executor("ray", workers=1) as executor:
        future = executor.submit(pool_of_polars)
        with pytest.raises(corewise.ExecutorWarning, match="polars has 5 threads, 1 asked"):
            future.result(timeout=60)
        assert future.result() == 5


@pytest.mark.leaves("signal handlers")  # Ray sets one for each node that a cluster of tests gets
def test_a_variable_of_the_node_that_asks_for_more_is_told_of_with_name_and_mend(node_of_another_user):
    def run():
        with corewise.executor("ray", workers=1, resources={"other": 1}) as executor:
            assert list(executor.map(openblas, range(2))) == [("3", True)] * 2

    [(text, _)] = told(run)
    assert "OPENBLAS_NUM_THREADS=3 is set on its node, 1 was asked: unset it where `ray start` runs there" in text


def test_a_variable_that_the_user_chose_for_the_workers_holds_and_is_no_news():
    def run():
        chosen = {"env_vars": {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"}}
        with corewise.executor("ray", workers=1, runtime_env=chosen) as executor:
            assert executor.submit(os.getenv, "OMP_NUM_THREADS").result(timeout=60) == "3"
            assert list(executor.map(openblas, range(2))) == [("3", True)] * 2

    assert told(run) == []


def site(folder, text):
    """Return an environment in which every Python runs this when it starts."""
    Path(folder, "sitecustomize.py").write_text(text)
    return {"env_vars": {"PYTHONPATH": str(folder)}}


def test_another_version_of_corewise_on_the_workers_is_told_of(tmp_path):
    environment = site(tmp_path, "import corewise; corewise.__version__ = '0.0.7'")

    def run():
        with corewise.executor("ray", workers=1, runtime_env=environment) as executor:
            assert executor.submit(abs, -1).result(timeout=60) == 1

    [(text, _)] = told(run)
    assert f"it has corewise 0.0.7, this program {corewise.__version__}: install the same version on every node" in text


def test_workers_without_corewise_end_the_map_with_one_clear_error(tmp_path):
    environment = site(tmp_path, "import sys; sys.modules['corewise'] = None")
    expected = r"a worker cannot run corewise_ray \(No module named .*install the same versions of corewise"
    with corewise.executor("ray", workers=1, runtime_env=environment) as executor:
        with pytest.raises(BrokenExecutor, match=expected):
            list(executor.map(abs, range(100), on_error="skip"))
        with pytest.raises(BrokenExecutor, match=expected):
            executor.submit(abs, -1).result(timeout=60)
    corewise.reset()
    corewise.configure(num_cpus=1, executors={"ray": {"runtime_env": environment}})
    with pytest.raises(BrokenExecutor, match=expected):
        corewise.actors(dict, num_workers=1, executor="ray")


PLUGIN = """
    import corewise

    @corewise.hookimpl
    def corewise_worker_env(worker):
        return {"OF_A_PLUGIN": f"{worker.executor} {worker.index}"}
"""


def test_variables_of_plugins_reach_the_workers(tmp_path):
    from fake_distributions import Site  # Ray's workers, which import this module, have no path to it

    with Site(tmp_path / "site") as site:
        site.install("of_a_plugin", module=PLUGIN)
        corewise.reset()
        corewise.configure(num_cpus=1)
        with corewise.executor("ray", workers=1) as executor:
            assert executor.submit(os.getenv, "OF_A_PLUGIN").result(timeout=120) == "ray 0"
    corewise.reset()
