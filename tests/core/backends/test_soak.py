"""Many threads that enter and leave limits at once, on real libraries."""

import pytest
from fresh_process import fresh

SOAK = """
import ctypes, numpy, random
gomp = ctypes.CDLL("libgomp.so.1")
from corewise.runtime import current_runtime
blas = current_runtime().limits.backends["openblas"].threads

def openmp():
    return gomp.omp_get_max_threads()

before = [blas(), openmp(), in_thread(openmp)]
barrier = threading.Barrier(8)

def work(seed):
    pick = random.Random(seed)
    found = openmp()
    barrier.wait()
    for _ in range(TURNS):
        try:
            with corewise.limit(backends=pick.randint(1, 4)):
                if pick.random() < 0.2:
                    with corewise.limit({"openblas": 1, "openmp": 5}):
                        assert blas() == 1
                        assert openmp() == 5
                if pick.random() < 0.1:
                    raise KeyError
        except KeyError:
            pass
    return openmp() == found

with ThreadPoolExecutor(8) as pool:
    same = list(pool.map(work, range(8)))
report([all(same), before == [blas(), openmp(), in_thread(openmp)]])
"""


@pytest.mark.parametrize("initialised", [False, True])
def test_10_000_limits_from_8_threads_leave_every_count_as_found(initialised):
    first = "corewise.ensure_parallel_init(num_backend_threads=3)\n" if initialised else ""
    found = fresh(first + SOAK.replace("TURNS", "1250"))
    assert found == [True, True]


REACH = """
import ctypes
live = ctypes.CDLL("libgomp.so.1").omp_get_max_threads
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
both = threading.Barrier(2)

def seen(pool):
    return {future.result() for future in [pool.submit(live) for _ in range(8)]}

def turn(pool):
    both.wait()
    wrong = []
    for number in range(TURNS):
        with corewise.limit(backends=1 + number % 3):
            wrong += [count for count in seen(pool) if count > 1 + number % 3]
    return wrong

with corewise.executor("threads", workers=2) as first, corewise.executor("threads", workers=2) as second:
    with ThreadPoolExecutor(2) as askers:
        wrong = [each.result() for each in [askers.submit(turn, first), askers.submit(turn, second)]]
    report([wrong, sorted(seen(first) | seen(second)), live()])
"""


def test_limits_of_two_threads_hold_in_all_workers_while_they_come_and_go():
    assert fresh(REACH.replace("TURNS", "300"), warnings="ignore") == [[[], []], [2], 4]
