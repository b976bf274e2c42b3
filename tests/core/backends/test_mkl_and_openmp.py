"""Limits on the real libmkl_rt and its OpenMP runtime, each test in a process of its own."""

import ctypes
import importlib.metadata
import importlib.util
import os

import pytest
from fresh_process import fresh

CPUS = len(os.sched_getaffinity(0))


def library(distribution, name):
    """Return the path of a shared library that a wheel installed beside the interpreter's own."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((str(file.locate().resolve()) for file in files if file.name.startswith(name)), None)


MKL = library("mkl", "libmkl_rt.so")
needs_mkl = pytest.mark.skipif(MKL is None, reason="mkl is not installed: uv sync --group backends")

LOAD = f"""
import ctypes
mkl = ctypes.CDLL({MKL!r})
def live():
    return mkl.MKL_Get_Max_Threads()
def openmp():
    import threadpoolctl
    return [each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "openmp"]
"""


@needs_mkl
def test_mkl_is_limited_in_every_thread_and_given_back():
    found = fresh(
        LOAD + "before = [live(), in_thread(live)]; corewise.ensure_parallel_init(num_backend_threads=1);"
        "limited = [live(), in_thread(live), outcome('mkl')]; corewise.reset();"
        "report([before, limited, live(), in_thread(live)])"
    )
    assert found == [[CPUS, CPUS], [1, 1, ["applied", 1, 1]], CPUS, CPUS]


@needs_mkl
def test_a_limit_on_mkl_in_one_thread_does_not_reach_another():
    found = fresh(
        LOAD + "corewise.ensure_parallel_init(num_backend_threads=1)\n"
        "def work():\n"
        "    with corewise.limit({'mkl': 2}):\n"
        "        return live()\n"
        "with corewise.limit({'mkl': 2}):\n"
        "    other = in_thread(live)\n"
        "report([in_thread(work), live(), other])"
    )
    assert found == [2, 1, 1]


@needs_mkl
def test_mkl_num_threads_of_the_user_leaves_blas_alone():
    found = fresh(
        LOAD + "corewise.ensure_parallel_init(num_backend_threads=2); report([live(), outcome('mkl')[0]])",
        variables={"MKL_NUM_THREADS": "1"},
    )
    assert found == [1, "left alone"]


@needs_mkl
def test_the_openmp_runtime_that_mkl_loads_is_limited_with_it():
    found = fresh(
        LOAD + "corewise.ensure_parallel_init(num_backend_threads=1); live(); mkl.MKL_Set_Num_Threads_Local(2);"
        "report([openmp(), outcome('openmp')])"
    )
    assert found == [[1], ["applied", 1, 1]]


@needs_mkl
def test_mkl_that_was_not_asked_before_is_given_back_as_it_would_have_been():
    found = fresh(
        LOAD + "corewise.ensure_parallel_init(num_backend_threads=1); limited = live(); corewise.reset();"
        "report([limited, live(), in_thread(live)])"
    )
    assert found == [1, CPUS, CPUS]


@needs_mkl
def test_worker_threads_get_their_share_of_mkl_and_openmp():
    found = fresh(
        LOAD
        + """
corewise.ensure_parallel_init(num_cpus=2, num_threads=1)
before = [live(), openmp()]
with corewise.executor("threads", workers=2) as pool:
    inside = list(pool.map(lambda _: [live(), openmp()], [0]))
report([before, inside, [live(), openmp()]])
""",
        warnings="ignore",
    )
    assert found == [[2, [2]], [[1, [1]]], [2, [2]]]


@needs_mkl
def test_mkl_that_one_worker_loads_is_limited_in_the_others_too(tmp_path):
    (tmp_path / "mkl.py").write_text(f"import ctypes\nlibrary = ctypes.CDLL({MKL!r})")
    found = fresh(
        """
barrier = threading.Barrier(2, timeout=60)
def work(index):
    barrier.wait()
    if index == 0:
        import mkl
    barrier.wait()
    return sys.modules["mkl"].library.MKL_Get_Max_Threads()
with corewise.executor("threads", workers=2) as pool:
    futures = [pool.submit(work, index) for index in range(2)]
    inside = [future.result() for future in futures]
report([inside, in_thread(sys.modules["mkl"].library.MKL_Get_Max_Threads)])
""",
        warnings="ignore",
        variables={"COREWISE_NUM_CPUS": "2", "PYTHONPATH": str(tmp_path)},
    )
    assert found == [[1, 1], CPUS]


def test_gnu_openmp_is_limited_in_the_calling_thread_and_in_workers():
    gomp = gnu_openmp()
    found = fresh(
        f"""
import ctypes
gomp = ctypes.CDLL({gomp!r})
live = gomp.omp_get_max_threads
before = live()
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
limited = [live(), outcome("openmp")]
with corewise.executor("threads", workers=4) as pool:
    inside = list(pool.map(lambda _: live(), [0]))
corewise.reset()
report([before, limited, inside, live()])
""",
        warnings="ignore",
    )
    assert found == [CPUS, [4, ["applied", 4, 4]], [1], CPUS]


def test_omp_num_threads_of_the_user_leaves_openmp_alone():
    gomp = gnu_openmp()
    found = fresh(
        f"import ctypes; live = ctypes.CDLL({gomp!r}).omp_get_max_threads;"
        "corewise.ensure_parallel_init(num_backend_threads=2); report([live(), outcome('openmp')[0],"
        "os.environ['OMP_NUM_THREADS'], corewise.child_env()['OMP_NUM_THREADS']])",
        variables={"OMP_NUM_THREADS": "5"},
    )
    assert found == [5, "left alone", "5", "5"]


def gnu_openmp():
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pytest.skip("no libgomp.so.1 on this machine")
    return "libgomp.so.1"


def test_gnu_openmp_that_one_worker_loads_is_limited_in_the_next_task_of_the_others(tmp_path):
    (tmp_path / "sklearn.py").write_text("import ctypes\nlibrary = ctypes.CDLL('libgomp.so.1')")
    found = fresh(
        """
barrier = threading.Barrier(2, timeout=60)
def load(index):
    barrier.wait()
    if index == 0:
        import sklearn
    barrier.wait()
def live(_):
    barrier.wait()
    return sys.modules["sklearn"].library.omp_get_max_threads()
with corewise.executor("threads", workers=2) as pool:
    for future in [pool.submit(load, index) for index in range(2)]:
        future.result()
    inside = [future.result() for future in [pool.submit(live, index) for index in range(2)]]
report(inside)
""",
        warnings="ignore",
        variables={"COREWISE_NUM_CPUS": "2", "PYTHONPATH": str(tmp_path)},
    )
    assert found == [1, 1]
