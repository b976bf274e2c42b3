"""What the kernel does to a worker that has more memory than its control group may have."""

import contextlib
import functools
import signal
import time
import uuid
from pathlib import Path

import pytest
import spawned

from corewise.errors import WorkerDiedError
from corewise.executors.failure import Failure

GROUPS = Path("/sys/fs/cgroup")
LIMIT = 64 << 20


def limit(group):
    """Set the limit of a new group, in the way of its version."""
    first = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
    (group / first).write_text(str(LIMIT))
    for name in ("memory.swap.max", "memory.swappiness"):
        if (group / name).exists():
            (group / name).write_text("0")


@pytest.fixture
def group():
    """A control group that a process of root may join, and that has little memory."""
    parent = GROUPS / "memory" if (GROUPS / "memory").is_dir() else GROUPS
    made = parent / f"corewise-test-{uuid.uuid4().hex}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            limit(made)
        except OSError as error:
            pytest.skip(f"the memory of control groups cannot be limited here: {error}")
        yield made
    finally:
        deadline = time.monotonic() + 30
        while made.exists():
            with contextlib.suppress(OSError):  # the last process may not have left yet
                made.rmdir()
            assert time.monotonic() < deadline


def test_a_worker_that_is_killed_for_its_memory_costs_the_item_that_took_it(group, tmp_path):
    path = str(tmp_path / "runs")
    work = spawned.OneOf(3, functools.partial(spawned.take_in_group, str(group), 4 * LIMIT), path)
    with spawned.make_executor() as executor:
        found = list(executor.map(work, range(20), on_error="return", chunksize=5))
        assert executor.submit(spawned.double, 2).result() == 4
    assert [x for x in found if not isinstance(x, Failure)] == [x for x in range(20) if x != 3]
    error = found[3].error
    assert isinstance(error, WorkerDiedError)
    assert error.exitcode == -signal.SIGKILL
    assert spawned.runs(path) == 2
