import json
import os
import socket
import subprocess
import sys

import pytest

ray = pytest.importorskip("ray", reason="Ray is installed for one Python only")

# Ray opens a connection to each worker when it is first used.
pytestmark = pytest.mark.leaves("file descriptors")

PROGRAM = """
import json, os
import corewise

def fail_on_three(item):
    if item == 3:
        raise ValueError("bad 3")
    return item

def die_on_three(item):
    return os._exit(7) if item == 3 else item

def sleep_on_three(item):
    import time
    time.sleep(600 if item == 3 else 0)
    return item

def kinds(results):
    return [result if isinstance(result, int) else type(result.error).__name__ for result in results]

with corewise.executor("ray", workers=2, **json.loads(os.environ["OPTIONS"])) as executor:
    shared = executor.share([1, 2, 3])
    found = {
        "submit": executor.submit(pow, 2, 5).result(timeout=60),
        "map": sum(executor.map(lambda item: 2 * item, range(1000))),
        "elsewhere": os.getpid() not in executor.map(lambda _: os.getpid(), range(2)),
        "variable": list(executor.map(os.getenv, ["FROM_OUTSIDE"])),
        "shared": list(executor.map(lambda item: shared.get()[item], range(3))),
        "fail": kinds(executor.map(fail_on_three, range(5), on_error="return")),
        "die": kinds(executor.map(die_on_three, range(5), on_error="return")),
        "timeout": kinds(executor.map(sleep_on_three, range(5), on_error="return", item_timeout=1)),
    }
    with corewise.actors(dict, {1: 2}, num_workers=1, executor="ray") as pool:
        found["actors"] = pool.call("get", 1).result(timeout=60)

import ray
found["left"] = not ray.is_initialized()
print("FOUND" + json.dumps(found))
"""

EXPECTED = {
    "submit": 32,
    "map": 999_000,
    "elsewhere": True,
    "variable": [None],
    "shared": [1, 2, 3],
    "fail": [0, 1, 2, "ValueError", 4],
    "die": [0, 1, 2, "WorkerDiedError", 4],
    "timeout": [0, 1, 2, "ItemTimeoutError", 4],
    "actors": 2,
    "left": True,
}


@pytest.fixture(scope="module")
def address(local_cluster):
    return local_cluster.get_runtime_context().gcs_address


@pytest.fixture
def client_address(address):
    """The address of a server for Ray Client, as the head of a cluster has one."""
    pytest.importorskip("grpc", reason="Ray Client needs grpcio: uv sync --group ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
    server = [sys.executable, "-m", "ray.util.client.server", "--host", "127.0.0.1", "--port", port, "--mode", "proxy"]
    process = subprocess.Popen([*server, "--address", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"ray://127.0.0.1:{port}"
    process.terminate()
    process.wait(60)


def found(**variables):
    """Return what the program found that runs with these variables."""
    environment = {**os.environ, "COREWISE_NO_CONFIG": "1", "PYTHONWARNINGS": "ignore", "OPTIONS": "{}", **variables}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    return json.loads(line.removeprefix("FOUND"))


@pytest.mark.slow  # Ray serves each client at a port from 23000 on: a second run on this machine may take it away
def test_a_program_on_another_machine_uses_a_cluster_through_ray_client(client_address):
    assert found(OPTIONS=json.dumps({"address": client_address})) == EXPECTED


def test_a_program_that_is_a_job_of_ray_uses_the_cluster_and_environment_of_the_job(address):
    job = {"runtime_env": {"env_vars": {"FROM_OUTSIDE": "the job"}}, "metadata": {"job_submission_id": "one"}}
    # What Ray's supervisor of a job gives to its program.
    told = found(RAY_ADDRESS=address, RAY_JOB_CONFIG_JSON_ENV_VAR=json.dumps(job))
    assert told == {**EXPECTED, "variable": ["the job"]}


@pytest.mark.leaves("runtime")
def test_a_plain_task_of_ray_can_map_while_the_cluster_is_full(local_cluster):
    @ray.remote(num_cpus=1)
    def task(item):
        import corewise

        with corewise.executor("ray", workers=2) as executor:
            return sum(executor.map(lambda x: x + item, range(10)))

    assert ray.get([task.remote(item) for item in range(4)], timeout=100) == [45 + 10 * item for item in range(4)]
