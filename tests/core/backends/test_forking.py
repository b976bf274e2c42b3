"""Limits in a child that was forked while threads of its parent held some, each test in a process of its own."""

import importlib.util
import os

import pytest
from fresh_process import fresh

CPUS = len(os.sched_getaffinity(0))

# Python warns of a fork while there are threads; that is what is tried here.
FORK = """
import corewise.backends.limits
from corewise.builtin.openblas import OpenBlas

def live():
    return OpenBlas().threads()

def in_child(fn):
    near, far = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(far, json.dumps(fn()).encode())
        finally:
            os._exit(0)
    os.close(far)
    with open(near, "rb") as answer:
        found = answer.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(found)

def nested():
    before = live()
    with corewise.limit(3):
        inside = live()
    return [before, inside, live()]
"""


def test_a_limit_of_a_thread_that_a_forked_child_does_not_have_is_over_in_it():
    found = fresh(
        FORK
        + """
import numpy
begun, done = threading.Event(), threading.Event()
def hold():
    with corewise.limit(1):
        begun.set()
        done.wait(60)
thread = threading.Thread(target=hold)
thread.start()
begun.wait(60)
child = in_child(nested)
here = live()
done.set()
thread.join()
report([child, here, live()])
""",
        warnings="ignore",
    )
    assert found == [[CPUS, 3, CPUS], 1, CPUS]


def test_a_limit_of_the_thread_that_forks_holds_in_the_child_too():
    found = fresh(FORK + "import numpy\nwith corewise.limit(1):\n    child = in_child(nested)\nreport(child)")
    assert found == [1, 3, 1]


@pytest.mark.parametrize("imports", ["numpy", "numpy, torch"])
def test_the_shares_of_worker_threads_are_over_in_a_forked_child(imports):
    if "torch" in imports and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: see CONTRIBUTING.md")
    found = fresh(
        FORK
        + f"import {imports}\n"
        + """
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
with corewise.executor("threads", workers=4) as pool:
    pool.submit(int).result()
    children = [in_child(nested) for _ in range(10)]
report([children, live()])
""",
        warnings="ignore",
    )
    assert found == [[[4, 3, 4]] * 10, 4]


def test_a_fork_waits_for_a_limit_that_is_being_set_so_that_the_child_can_set_its_own():
    found = fresh(
        FORK
        + """
import numpy
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
held, go = threading.Event(), threading.Event()
def hold():
    with corewise.backends.limits._lock:
        held.set()
        go.wait(60)
with corewise.executor("threads", workers=4) as pool:
    pool.submit(int).result()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    os.register_at_fork(before=go.set)
    child = in_child(nested)
    thread.join()
report(child)
""",
        warnings="ignore",
    )
    assert found == [4, 3, 4]


def test_a_child_that_is_forked_while_threads_come_and_go_is_never_stuck():
    found = fresh(
        FORK
        + """
import numpy
nested()  # a fork in the middle of an import would be a matter of CPython's import locks
done = threading.Event()
def turn():
    while not done.is_set():
        with corewise.limit(1):
            pass
threads = [threading.Thread(target=turn) for _ in range(3)]
for thread in threads:
    thread.start()
children = [in_child(nested) for _ in range(30)]
done.set()
for thread in threads:
    thread.join()
report([{tuple(child) for child in children} == {(live(), 3, live())}, live()])
""",
        warnings="ignore",
    )
    assert found == [True, CPUS]
