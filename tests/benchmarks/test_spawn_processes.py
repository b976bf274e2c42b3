"""What the processes of the pool cost beside the work: their start, their memory, and being idle."""

import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Event

import psutil
import pytest

import corewise

SPAWN = multiprocessing.get_context("spawn")
MEBIBYTE = 1 << 20

PROGRAM = """
import time
if __name__ == "__main__":
    {imports}
    with {pool} as pool:
        for future in [pool.submit(time.sleep, 0.02) for _ in range(2)]:
            future.result()
"""
MEMORY = """
        import psutil
        children = [each for each in psutil.Process().children() if "resource_tracker" not in str(each.cmdline())]
        print(sum(each.memory_full_info().pss for each in children) / len(children))
"""
OURS = PROGRAM.format(imports="import corewise", pool='corewise.executor("spawn", workers=2)')
THEIRS = PROGRAM.format(
    imports="import multiprocessing; from concurrent.futures import ProcessPoolExecutor",
    pool='ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))',
)
BOUND = """
import functools, psutil
import numpy as np

def sum_of_part(array, index):
    return float(array[index * 100 : (index + 1) * 100].sum())

if __name__ == "__main__":
    array = np.ones({count})
    {act}
    program = psutil.Process()
    everyone = [program, *program.children(recursive=True)]
    print(sum(each.memory_full_info().pss for each in everyone))
"""
BOUND_OURS = """
    import corewise
    pool = corewise.executor("spawn", workers=2)
    list(pool.map(functools.partial(sum_of_part, array), range(500)))
"""
BOUND_THEIRS = """
    import joblib
    joblib.Parallel(n_jobs=2)(joblib.delayed(sum_of_part)(array, number) for number in range(500))
"""


@pytest.fixture
def runs(tmp_path):
    """Return a function that makes one which runs a program from a file."""

    def program(text, name):
        file = Path(tmp_path, name)
        file.write_text(text)
        return lambda: subprocess.run([sys.executable, file], check=True, timeout=60, capture_output=True, text=True)

    return program


def test_time_of_a_program_that_starts_two_workers(compare, runs):
    compare(
        "program that starts 2 processes, has an answer of each, and ends",
        runs(OURS, "ours.py"),
        runs(THEIRS, "theirs.py"),
        named="ProcessPoolExecutor (spawn)",
        rounds=9,
        goal="at most 0.6, without the interpreter's start",
    )


def test_time_of_a_later_start(compare):
    def start(pool):
        with pool:
            for future in [pool.submit(time.sleep, 0.02) for _ in range(2)]:
                future.result()

    compare(
        "start of 2 more processes and an answer of each, in a program that has started some before",
        lambda: start(corewise.executor("spawn", workers=2)),
        lambda: start(ProcessPoolExecutor(2, mp_context=SPAWN)),
        named="ProcessPoolExecutor (spawn)",
        rounds=9,
        goal="at most 0.6",
    )
    corewise.reset()


def test_memory_of_an_idle_worker(row, runs):
    ours, theirs = (float(runs(program + MEMORY, "program.py")().stdout) for program in (OURS, THEIRS))
    row(
        "idle worker process, proportional memory",
        f"{ours / MEBIBYTE:.1f} MiB",
        f"{theirs / MEBIBYTE:.1f} MiB (ProcessPoolExecutor (spawn))",
        f"{ours / theirs:.2f} (ratio)",
        "at most 0.8",
    )


def test_memory_with_a_large_array_bound_to_the_callable(row, runs, request):
    count = (512 if request.config.getoption("benchmark_enable") else 2) * MEBIBYTE // 8
    programs = [BOUND.format(count=count, act=act) for act in (BOUND_OURS, BOUND_THEIRS)]
    ours, theirs = (float(runs(program, "bound.py")().stdout) for program in programs)
    row(
        "all processes after 500 tasks with an array of 512 MiB bound to the callable, proportional memory",
        f"{ours / MEBIBYTE:.0f} MiB",
        f"{theirs / MEBIBYTE:.0f} MiB (joblib, which maps a file)",
        f"{ours / theirs:.2f} (ratio)",
        "at most 620 MiB",
    )


def switches():
    """Return how often this process and its children have waited for something."""
    processes = [psutil.Process(), *psutil.Process().children()]
    return sum(process.num_ctx_switches().voluntary for process in processes)


def test_wakeups_of_an_idle_pool(row, request):
    seconds = 10 if request.config.getoption("benchmark_enable") else 1
    with corewise.executor("spawn", workers=2) as pool:
        for future in [pool.submit(time.sleep, 0.02) for _ in range(2)]:
            future.result()
        counts = []
        for _ in range(2):  # the second time nothing is left of the work before
            before = switches()
            Event().wait(seconds)
            counts.append(switches() - before)
    corewise.reset()
    woken = counts[1] - 1  # this thread's own waiting
    assert woken <= 0
    row(f"idle pool of 2 processes, wake-ups in {seconds} s", f"{woken}", "-", f"{woken} (count)", "0")
