"""The process pool against its peers: calls, maps and arrays between workers that have started."""

import functools
import math
import multiprocessing
import os
import random
import subprocess
import sys
from collections import deque
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import tasks

import corewise

SPAWN = multiprocessing.get_context("spawn")
MEBIBYTE = 1 << 20


@pytest.fixture
def pools():
    """Return our pool and the standard library's, each with two workers that have started."""
    with corewise.executor("spawn", workers=2) as ours, ProcessPoolExecutor(2, mp_context=SPAWN) as theirs:
        for pool in (ours, theirs):
            for future in [pool.submit(tasks.double, 1) for _ in range(200)]:
                future.result()
        yield ours, theirs
    corewise.reset()


@pytest.fixture
def enabled(request):
    return request.config.getoption("benchmark_enable")


def test_one_submit_and_its_result(compare, pools, enabled):
    ours, theirs = pools
    count = 500 if enabled else 2

    def back_to_back(pool):
        for _ in range(count):
            pool.submit(math.sqrt, 4).result()

    compare(
        "one submit and its result, on 2 processes",
        lambda: back_to_back(ours),
        lambda: back_to_back(theirs),
        named="ProcessPoolExecutor (spawn)",
        per=count,
        goal="at most 0.6",
    )


def test_many_submits(compare, pools, enabled):
    ours, theirs = pools
    count = 20_000 if enabled else 20

    def burst(pool):
        for future in [pool.submit(math.sqrt, 4) for _ in range(count)]:
            future.result()

    compare(
        "submit in a burst, on 2 processes",
        lambda: burst(ours),
        lambda: burst(theirs),
        named="ProcessPoolExecutor (spawn)",
        per=count,
        goal="at most 0.1",
    )


def test_many_submits_against_a_multiprocessing_pool(compare, pools, enabled):
    ours, _ = pools
    count = 20_000 if enabled else 20
    with SPAWN.Pool(2) as theirs:

        def burst():
            for future in [ours.submit(math.sqrt, 4) for _ in range(count)]:
                future.result()

        def burst_of_theirs():
            for result in [theirs.apply_async(math.sqrt, (4,)) for _ in range(count)]:
                result.get()

        compare(
            "submit in a burst, on 2 processes",
            burst,
            burst_of_theirs,
            named="multiprocessing.Pool.apply_async",
            per=count,
            goal="at most 0.25",
        )
        theirs.close()
        theirs.join()


def test_cost_per_item_of_map_on_processes(compare, pools, enabled):
    ours, _ = pools
    count = 200_000 if enabled else 200
    with SPAWN.Pool(2) as theirs:
        compare(
            "item of map(2 * x) on 2 processes",
            lambda: deque(ours.map(tasks.double, range(count)), maxlen=0),
            lambda: deque(theirs.map(tasks.double, range(count)), maxlen=0),
            named="multiprocessing.Pool.map, eager and unbounded",
            per=count,
            goal="at most 1.2",
        )
        theirs.close()
        theirs.join()


JOBLIB = """
import sys, time
import joblib, numpy, tasks

def run(count):
    joblib.Parallel(n_jobs=2)({calls})

if __name__ == "__main__":
    count, size = map(int, sys.argv[1:])
    array = numpy.ones(size // 8)
    joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(number) for number in range(100))
    begin = time.perf_counter()
    run(count)
    print(time.perf_counter() - begin)
"""


@pytest.fixture
def with_joblib(tmp_path):
    """Return a function that runs calls by joblib in a program of its own, which its helpers outlive by no moment."""

    def seconds(calls, count, size=8):
        program = tmp_path / "program.py"
        program.write_text(JOBLIB.format(calls=calls))
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(tasks.__file__)}  # noqa: PTH120 - a str
        command = [sys.executable, program, str(count), str(size)]
        done = subprocess.run(command, env=environment, check=True, timeout=100, capture_output=True, text=True)
        return float(done.stdout)

    return seconds


def test_cost_per_item_of_map_against_joblib(compare, pools, with_joblib, enabled):
    ours, _ = pools
    count = 200_000 if enabled else 200
    compare(
        "item of map(2 * x) on 2 processes",
        lambda: deque(ours.map(tasks.double, range(count)), maxlen=0),
        lambda: with_joblib("joblib.delayed(tasks.double)(number) for number in range(count)", count),
        named="joblib",
        per=count,
        goal="at most 0.15",
    )


def test_tasks_of_unequal_length(compare, pools, enabled):
    ours, theirs = pools
    mean = 8_000 if enabled else 1  # rounds of a hash, about 2 ms
    rounds = [1 + int(random.Random(index).lognormvariate(0, 1) * mean / math.exp(0.5)) for index in range(2_500)]  # noqa: S311
    halves = [rounds[start::2] for start in range(2)]
    compare(
        "2,500 tasks of log-normal length, mean 2 ms, on 2 processes",
        lambda: deque(ours.map(tasks.stretch, rounds), maxlen=0),
        lambda: deque(theirs.map(tasks.stretch_each, halves), maxlen=0),
        named="two bare loops, each over every second task",
        goal="at most 1.05",
    )


@pytest.mark.parametrize("way", ["arguments", "results"])
def test_large_arrays(compare, pools, enabled, way):
    ours, theirs = pools
    count, size = (64, 32 * MEBIBYTE) if enabled else (2, MEBIBYTE)
    arrays = [np.full(size // 8, float(index)) for index in range(count)] if way == "arguments" else []
    act, items = (np.sum, arrays) if way == "arguments" else (np.ones, [size // 8] * count)
    compare(
        f"array of 32 MiB in {way}, on 2 processes",
        lambda: deque(ours.map(act, items), maxlen=0),
        lambda: deque(theirs.map(act, items), maxlen=0),
        named="ProcessPoolExecutor (spawn)",
        rounds=3,
        per=count,
        show="speedup",
        goal="at least 20 times" if way == "arguments" else "at least 15 times",
    )


def test_a_large_array_bound_to_the_callable(compare, pools, with_joblib, enabled):
    ours, _ = pools
    count, size = (500, 512 * MEBIBYTE) if enabled else (4, 2 * MEBIBYTE)
    act = functools.partial(tasks.sum_of_part, np.ones(size // 8))
    compare(
        "500 tasks with an array of 512 MiB bound to the callable, on 2 processes",
        lambda: deque(ours.map(act, range(count)), maxlen=0),
        lambda: with_joblib("joblib.delayed(tasks.sum_of_part)(array, number) for number in range(count)", count, size),
        named="joblib, which maps a file",
        rounds=3,
        goal="at most 0.7",
    )
