import os
import secrets
import tempfile
import time
import warnings
from pathlib import Path

import pytest

import corewise

# Ray writes the address of a cluster of several nodes below this, and does not make the folder. It is this run's own:
# what another Ray on this machine writes to the usual place is not ours to read.
_folder = tempfile.TemporaryDirectory(prefix="ray")
(Path(_folder.name) / "ray").mkdir()

# Ray reads these when it is imported: a token of this run instead of one in the user's home, nobody is told, and where
# `uv run` has started the tests, workers do not install the project from a copy that Ray makes of it, and deletes.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AUTH_MODE="token",
    RAY_AUTH_TOKEN=secrets.token_hex(32),
    RAY_ENABLE_UV_RUN_RUNTIME_ENV="0",
    RAY_TMPDIR=_folder.name,
)


@pytest.fixture(scope="module")
def ray_here():
    """Let Ray warn of its own deprecations, which are not ours to mend, and undo what it does to the environment."""
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def ray_options(ray_here):
    """Options of a small Ray; its folder has a short name, for Ray puts sockets there."""
    with tempfile.TemporaryDirectory() as folder:
        yield {
            "include_dashboard": False,
            "object_store_memory": 300 << 20,
            "_temp_dir": folder,
            "log_to_driver": False,
            "logging_level": "ERROR",
        }


@pytest.fixture(scope="module")
def local_cluster(ray_options):
    """A local Ray of four CPUs, which the program has initialised."""
    import ray

    ray.init(num_cpus=4, **ray_options)
    yield ray
    ray.shutdown()


@pytest.fixture
def fresh_runtime():
    """Let the test resolve settings of its own."""
    corewise.reset()
    yield
    corewise.reset()


@pytest.fixture
def patiently():
    """Return a function that waits for a condition which no event tells of."""

    def wait(condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    return wait
