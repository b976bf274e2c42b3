"""Whom a limit reaches beside the thread that asks: worker threads and processes, on the real OpenMP runtime."""

import ctypes

import pytest
from fresh_process import fresh


def setup_module():
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pytest.skip("no libgomp.so.1 on this machine")


OPENMP = """
import ctypes
gomp = ctypes.CDLL("libgomp.so.1")
live = gomp.omp_get_max_threads
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
def inside(pool):
    return pool.submit(live).result()
"""


def test_a_limit_holds_in_threads_that_are_opened_inside_of_it_and_ends_with_it():
    found = fresh(
        OPENMP
        + """
with corewise.limit(backends=1):
    pool = corewise.executor("threads", workers=2)
    limited = [live(), inside(pool)]
free = [live(), inside(pool)]
pool.shutdown()
report([limited, free, live()])
""",
        warnings="ignore",
    )
    assert found == [[1, 1], [4, 2], 4]


def test_a_limit_holds_in_threads_that_were_started_before_it_and_ends_with_it():
    found = fresh(
        OPENMP
        + """
with corewise.executor("threads", workers=1) as pool:
    seen = [inside(pool)]
    with corewise.limit(backends=3):
        seen.append(inside(pool))
        with corewise.limit({"openmp": 1}):
            seen.append(inside(pool))
        seen.append(inside(pool))
    pool.submit(gomp.omp_set_num_threads, 5).result()  # a task's own doing, which nothing of this undoes
    seen.append(inside(pool))
report(seen)
""",
        warnings="ignore",
    )
    assert found == [4, 3, 1, 3, 5]


def test_a_limit_holds_in_the_threads_of_map():
    found = fresh(
        OPENMP
        + """
def many():
    return sorted(set(corewise.map(lambda _: live(), range(8), executor="threads", workers=2, chunksize=1)))
with corewise.limit(backends=1):
    limited = many()
report([limited, many()])
""",
        warnings="ignore",
    )
    assert found == [[1], [2]]


def test_a_limit_that_a_worker_thread_asks_for_reaches_its_own_workers_and_not_its_siblings():
    found = fresh(
        OPENMP
        + """
limited, seen = threading.Event(), threading.Event()
def first():
    with corewise.executor("threads", workers=1) as nested:
        with corewise.limit(backends=1):
            limited.set()
            seen.wait(60)
            return [live(), inside(nested)]
with corewise.executor("threads", workers=2) as pool:
    answer = pool.submit(first)
    limited.wait(60)
    sibling = inside(pool)
    seen.set()
    report([answer.result(), sibling, live()])
""",
        warnings="ignore",
    )
    assert found == [[1, 1], 2, 4]


def test_a_limit_larger_than_the_share_of_a_worker_leaves_it_its_share():
    found = fresh(
        OPENMP
        + """
with corewise.limit(backends=3), corewise.executor("threads", workers=8) as pool:
    report([live(), inside(pool)])
""",
        warnings="ignore",
    )
    assert found == [3, 1]


def test_a_limit_reaches_the_threads_of_an_executor_that_knows_nothing_of_it():
    found = fresh(
        OPENMP
        + """
from corewise.executors.contract import ExecutorFactory
from corewise.runtime import current_runtime
factory = ExecutorFactory(name="stdlib", create=lambda asked: ThreadPoolExecutor(asked.workers), shares_memory=True)
type(current_runtime().host).executor = lambda self, name: factory
with corewise.executor("stdlib", workers=1) as pool:
    seen = [inside(pool)]
    with corewise.limit(backends=1):
        seen.append(inside(pool))
    seen.append(inside(pool))
report(seen)
""",
    )
    assert found == [4, 1, 4]


SPAWNED = """
def live():
    import ctypes, os
    return [ctypes.CDLL("libgomp.so.1").omp_get_max_threads(), os.environ.get("OMP_NUM_THREADS"), os.getpid()]

def nested():
    with corewise.executor("threads", workers=1) as pool:
        return pool.submit(live).result()[0]

def on_spawn():
    return list(corewise.map(lambda _: live(), [0], executor="spawn", workers=1))[0]

if __name__ == "__main__":
    corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
"""


def test_workers_that_are_spawned_under_a_limit_keep_it_at_any_depth():
    found = fresh(
        SPAWNED
        + """
    with corewise.limit(backends=1):
        pool = corewise.executor("spawn", workers=1)
    with pool:
        report([pool.submit(live).result()[:2], pool.submit(nested).result()])
""",
        warnings="ignore",
    )
    assert found == [[1, "1"], 1]


def test_map_keeps_processes_of_their_own_for_a_limit():
    found = fresh(
        SPAWNED
        + """
    free = on_spawn()
    with corewise.limit(backends=1):
        limited = on_spawn(), on_spawn()
    again = on_spawn()
    report([free == again, limited[0] == limited[1], free[:2], limited[0][:2]])
""",
        warnings="ignore",
    )
    assert found == [True, True, [4, "4"], [1, "1"]]


def test_the_environment_for_a_child_holds_the_limit_and_the_users_own_variable_as_it_is():
    found = fresh(
        """
        corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
        def names():
            return [corewise.child_env().get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")]
        with corewise.limit(backends=1):
            limited = names()
        report([limited, names()])
        """,
        variables={"OPENBLAS_NUM_THREADS": "3"},
    )
    assert found == [["1", "3"], ["4", "3"]]


def test_a_limit_holds_in_a_child_also_where_the_settings_leave_backends_alone():
    found = fresh("""
        corewise.ensure_parallel_init(num_backend_threads=-1)
        with corewise.limit(backends=1):
            limited = corewise.child_env()["OPENBLAS_NUM_THREADS"]
        report([limited, "OPENBLAS_NUM_THREADS" in corewise.child_env()])
    """)
    assert found == ["1", False]
