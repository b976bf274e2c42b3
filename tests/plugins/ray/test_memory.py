from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from tasks import double

import corewise

pytest.importorskip("ray", reason="Ray is installed for one Python only")

# Ray opens a connection to each worker when it is first used; the module resets what was resolved.
pytestmark = pytest.mark.leaves("file descriptors", "runtime")

MODEL_BYTES = 160 << 20


@pytest.fixture(scope="module")
def executor(local_cluster):
    with corewise.executor("ray", workers=2) as executor:
        assert list(executor.map(double, range(8), chunksize=1)) == list(range(0, 16, 2))
        yield executor
    corewise.reset()


def kilobytes(path, name):
    return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(name))


def memory_of_all():
    """Return the bytes of this process and its descendants; what they share counts once."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(kilobytes(Path(f"/proc/{process.pid}/smaps_rollup"), "Pss:") for process in processes) * 1024


def forget_peak():
    """Let the peak of this process begin with what it has now; 5 says so, see proc_pid_clear_refs(5)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak():
    return kilobytes(Path("/proc/self/status"), "VmHWM:") * 1024


def place(model, item):
    """Return the item of the model, and whether the model lies in the object store."""
    address = model.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= address < last:
            return float(model[item]), "plasma" in line
    return float(model[item]), False


def test_a_model_that_is_bound_to_a_function_is_copied_once_and_read_in_place(executor):
    model = np.arange(MODEL_BYTES // 8, dtype=float)
    before = memory_of_all()
    forget_peak()
    begin = peak()
    results = executor.map(partial(place, model), range(500), chunksize=5)
    found = [next(results) for _ in range(250)]
    meanwhile = memory_of_all()
    found += results
    assert found == [(item, True) for item in range(500)]
    # The store's copy; half of one more is room for what else the processes do.
    assert meanwhile - before < 1.5 * MODEL_BYTES
    assert peak() - begin < 1.5 * MODEL_BYTES
