import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import pytest

import corewise

pytestmark = pytest.mark.filterwarnings("ignore:executor 'threads':corewise.ExecutorWarning")

TASK_SECONDS = 0.010


@pytest.fixture(autouse=True)
def _ready():
    yield
    corewise.reset()


def increment(x):
    return x + 1


def test_cost_per_item_of_map_on_threads(compare, request):
    count = 200_000 if request.config.getoption("benchmark_enable") else 2_000
    with ThreadPoolExecutor(2) as pool, corewise.executor("threads", workers=2) as executor:
        assert list(executor.map(increment, range(count))) == list(pool.map(increment, range(count)))
        compare(
            "item of map(x + 1) on 2 threads",
            lambda: deque(executor.map(increment, range(count)), maxlen=0),
            lambda: deque(pool.map(increment, range(count)), maxlen=0),
            named="ThreadPoolExecutor.map",
            rounds=5,
            per=count,
            goal="at most 0.1",
        )


def spin(loops):
    total = 0
    for number in range(loops):
        total += number & 3
    return total


def loops_of(seconds):
    """Return how many loops of ``spin`` take so long in one thread."""
    trial = 100_000
    durations = []
    for _ in range(5):
        begin = perf_counter()
        spin(trial)
        durations.append(perf_counter() - begin)
    return int(trial * seconds / min(durations))


def test_two_threads_against_serial_on_pure_python(compare, request):
    count = 200 if request.config.getoption("benchmark_enable") else 4
    free_threaded = not getattr(sys, "_is_gil_enabled", lambda: True)()
    tasks = [loops_of(TASK_SECONDS)] * count
    with corewise.executor("serial") as serial, corewise.executor("threads", workers=2) as threads:
        assert list(threads.map(spin, tasks)) == list(serial.map(spin, tasks))
        compare(
            "200 pure-Python tasks of 10 ms on 2 threads",
            lambda: deque(threads.map(spin, tasks), maxlen=0),
            lambda: deque(serial.map(spin, tasks), maxlen=0),
            named="serial",
            rounds=5,
            show="speedup",
            goal="at least 1.8 times" if free_threaded else "- (threads take turns on this build)",
        )
