import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import psutil
import pytest
from tasks import double

import corewise

ray = pytest.importorskip("ray", reason="Ray is installed for one Python only")

import ray_tasks as work  # noqa: E402 - it imports Ray

# Ray changes these for good when it starts a cluster, and its connections are closed at exit.
pytestmark = [
    pytest.mark.leaves("file descriptors", "environment", "signal handlers"),
    pytest.mark.usefixtures("fresh_runtime"),
]


def test_a_cluster_that_was_started_here_ends_with_the_last_executor(ray_options):
    first = corewise.executor("ray", workers=2, init=ray_options)
    try:
        assert ray.cluster_resources()["CPU"] == max(2, corewise.get_parallel_config().num_cpus)
        with corewise.executor("ray", workers=1) as second:
            assert second.submit(double, 2).result(timeout=60) == 4
        assert ray.is_initialized()
        assert list(first.map(double, range(3))) == [0, 2, 4]
    finally:
        first.shutdown()
    assert not ray.is_initialized()
    assert not [child for child in psutil.Process().children() if "ray" in " ".join(child.cmdline()[:1])]


def test_a_cluster_that_a_thread_has_started_outlives_the_thread(ray_options):
    with ThreadPoolExecutor(1) as threads:
        executor = threads.submit(corewise.executor, "ray", workers=1, init=ray_options).result()
    with executor:
        assert executor.submit(double, 1).result(timeout=60) == 2
        assert [child for child in psutil.Process().children() if child.name() == "gcs_server"]
        assert all(child.status() != psutil.STATUS_ZOMBIE for child in psutil.Process().children())
        kept = [thread for thread in threading.enumerate() if thread.name == "corewise-ray-cluster"]
    assert len(kept) == 1
    kept[0].join(timeout=60)
    assert not kept[0].is_alive()


def test_a_cluster_that_cannot_be_joined_is_told_with_its_address(ray_options):
    with pytest.raises(corewise.ExecutorUnavailableError) as caught:
        corewise.executor("ray", workers=1, address="127.0.0.1:1", init=ray_options)
    assert "executor 'ray': the cluster at '127.0.0.1:1' cannot be joined" in str(caught.value)
    assert "check executors.ray.address" in str(caught.value)


def facts(_):
    from corewise.executors.worker import current_worker

    context = ray.get_runtime_context()
    return context.namespace, context.get_assigned_resources(), current_worker().config.plugins.disable


def test_settings_reach_the_cluster_the_tasks_and_the_workers(ray_options):
    corewise.configure(num_cpus=2, plugins={"disable": ["rayon"]})
    options = {"num_cpus": 0.5, "num_gpus": 0.25, "resources": {"disk": 1}, "namespace": "team"}
    init = {**ray_options, "num_gpus": 1, "resources": {"disk": 2}}
    with corewise.executor("ray", workers=2, init=init, **options) as executor:
        assert ray.cluster_resources()["GPU"] == 1
        [(namespace, resources, disabled)] = executor.map(facts, [0])
        assert executor.submit(double, 2).result(timeout=60) == 4
    assert (namespace, list(disabled)) == ("team", ["rayon"])
    assert resources == {"CPU": 0.5, "GPU": 0.25, "disk": 1.0}


def test_what_no_node_of_a_cluster_that_is_started_here_has_is_an_error(ray_options):
    told = r"executors\.ray\.num_cpus = 64, but the largest node has \d+; lower it, or add a node that has it"
    with pytest.raises(corewise.ExecutorUnavailableError, match=told):
        corewise.executor("ray", workers=1, init=ray_options, num_cpus=64)
    assert not ray.is_initialized()


def test_a_call_fails_when_the_program_shuts_ray_down_meanwhile(ray_options, tmp_path, patiently):
    executor = corewise.executor("ray", workers=1, init=ray_options)
    running = executor.submit(work.wait_for, str(tmp_path / "never"))
    patiently((tmp_path / "never.begun").exists)
    waiting = executor.submit(double, 1)
    ray.shutdown()
    for future in (running, waiting):
        with pytest.raises(BrokenExecutor, match="Ray was shut down while it was in use"):
            future.result(timeout=60)
    executor.shutdown()


PROGRAM = """
import os, sys
import corewise

def place(_):
    return os.getcwd(), sys.prefix

with corewise.executor("ray", workers=1, init={"log_to_driver": False, "_temp_dir": sys.argv[1]}) as executor:
    assert executor.submit(place, 0).result() == place(0), (executor.submit(place, 0).result(), place(0))
"""


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on the path")
def test_workers_of_a_program_that_uv_runs_use_its_environment_and_no_copy_of_it(tmp_path, ray_options):
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ENABLE_UV_RUN_RUNTIME_ENV"}
    command = ["uv", "run", "--no-project", "--python", sys.executable, "python", "-c", PROGRAM]
    done = subprocess.run(
        [*command, ray_options["_temp_dir"]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
