"""Eight threads that each multiply matrices: with the limits of corewise, and without."""

import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fresh_process import fresh

import corewise

THREADS = 8
CPUS = len(os.sched_getaffinity(0))


def in_eight_threads(multiply):
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(multiply, range(THREADS)))


def test_time_of_eight_threads_that_multiply_numpy_matrices(compare, request):
    matrix = np.ones((800, 800))
    times = 10 if request.config.getoption("benchmark_enable") else 1

    def multiply(_):
        for _ in range(times):
            matrix @ matrix

    def limited():
        with corewise.limit(backends=1):
            in_eight_threads(multiply)

    compare(
        f"8 threads multiply 800x800 matrices in numpy on {CPUS} CPUs",
        limited,
        lambda: in_eight_threads(multiply),
        named="without limits",
        rounds=7,
    )
    corewise.reset()


PEAK = """
barrier = threading.Barrier(8)
def work(_):
    matrix = ones(800, 800)
    matrix @ matrix
    barrier.wait()
    found = len(os.listdir("/proc/self/task"))
    barrier.wait()
    return found
with ThreadPoolExecutor(8) as pool:
    report(max(pool.map(work, range(8))))
"""

LIBRARIES = {
    "numpy": "import numpy\ndef ones(*shape):\n    return numpy.ones(shape)\n",
    "torch": "from torch import ones\n",
}


@pytest.mark.skipif(CPUS < 2, reason="on one CPU no library starts threads of its own")
@pytest.mark.parametrize("library", LIBRARIES)
def test_eight_threads_start_no_others_with_limits_and_do_without(library, row):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: see CONTRIBUTING.md")
    load = LIBRARIES[library]
    limited = fresh("corewise.ensure_parallel_init(num_threads=8, num_cpus=8)\n" + load + PEAK)
    free = fresh(load + PEAK)
    assert limited < free
    row(
        f"threads of a process in which 8 threads multiply 800x800 matrices in {library} on {CPUS} CPUs",
        f"{limited}",
        f"{free} (without limits)",
        f"{limited / free:.2f} (ratio)",
        "-",
    )


def test_eight_threads_of_numpy_are_all_there_is():
    assert fresh("corewise.ensure_parallel_init(num_threads=8, num_cpus=8)\n" + LIBRARIES["numpy"] + PEAK) == 9
