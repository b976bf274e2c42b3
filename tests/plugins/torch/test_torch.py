"""Limits on the real torch, each test in a process of its own."""

import importlib.util
import os

import pytest
from fresh_process import fresh

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: see CONTRIBUTING.md"
)

CPUS = len(os.sched_getaffinity(0))

LIVE = """
def live():
    return sys.modules["torch"].get_num_threads()
"""


def test_torch_is_never_imported_to_limit_it():
    assert fresh("corewise.ensure_parallel_init(); report('torch' in sys.modules)") is False


def test_torch_that_is_imported_later_is_limited_before_its_first_operation():
    found = fresh(
        LIVE + "corewise.ensure_parallel_init(num_backend_threads=3); before = outcome('torch')\n"
        "import torch\n"
        "report([before, live(), in_thread(live), outcome('torch'), outcome('torch_interop')])"
    )
    assert found == [["not loaded yet", 3, None], 3, 3, ["applied", 3, 3], ["applied", 3, 3]]


def test_torch_that_is_loaded_is_limited_in_used_and_in_new_threads_and_given_back():
    found = fresh(
        LIVE + "import torch; before = live(), in_thread(live); corewise.ensure_parallel_init(num_backend_threads=3);"
        "limited = live(), in_thread(live); corewise.reset(); report([before, limited, live(), in_thread(live)])"
    )
    assert found == [[CPUS, CPUS], [3, 3], CPUS, CPUS]


def test_torch_that_was_imported_under_a_limit_is_free_after_reset():
    found = fresh(
        LIVE + "corewise.ensure_parallel_init(num_backend_threads=3); import torch; corewise.reset();"
        "report([live(), in_thread(live)])"
    )
    assert found == [CPUS, CPUS]


def test_a_limit_in_one_thread_reaches_no_other_and_leaves_new_threads_as_they_were():
    found = fresh(
        LIVE + "import torch; corewise.ensure_parallel_init(num_backend_threads=3)\n"
        "def work():\n"
        "    with corewise.limit(backends=1):\n"
        "        return live()\n"
        "report([in_thread(work), live(), in_thread(live)])"
    )
    assert found == [1, 3, 3]


@pytest.mark.parametrize("name", ["MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_torch_is_limited_also_where_the_user_set_a_variable_of_blas(name):
    found = fresh(
        LIVE
        + "corewise.ensure_parallel_init(num_backend_threads=3); import torch; report([live(), outcome('torch')[0]])",
        variables={name: "1"},
    )
    assert found == [3, "applied"]


def test_a_negative_number_leaves_torch_alone():
    found = fresh(
        LIVE + "import torch; corewise.ensure_parallel_init(num_backend_threads=-1); report([live(), outcome('torch')])"
    )
    assert found == [CPUS, ["left alone", None, CPUS]]


def test_worker_threads_get_their_share_and_the_process_its_own_back():
    found = fresh(
        LIVE
        + """
import torch
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
before = [live(), in_thread(live)]
with corewise.executor("threads", workers=4) as pool:
    inside = list(pool.map(lambda _: live(), range(8)))
report([before, inside, [live(), in_thread(live)]])
""",
        warnings="ignore",
    )
    assert found == [[4, 4], [1] * 8, [4, 4]]


def test_inter_op_threads_that_were_used_before_are_reported_as_too_late():
    found = fresh(
        """
        import torch, warnings
        torch.set_num_interop_threads(5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            corewise.ensure_parallel_init(num_backend_threads=3)
        report([outcome("torch_interop"), [str(warning.message) for warning in caught]])
        """,
    )
    assert found[0] == ["too late", 3, 5]
    assert found[1] == [
        "backend torch_interop: too late, 5 threads (its pool was built before, 3 were asked); see `corewise doctor`"
    ]


def test_a_child_is_limited_before_it_starts():
    found = fresh("""
        import subprocess
        corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
        code = "import torch; print(torch.get_num_threads())"
        done = subprocess.run(
            [sys.executable, "-c", code], env=corewise.child_env(workers=4), capture_output=True, text=True, check=True
        )
        report(int(done.stdout))
    """)
    assert found == 1


def test_limits_that_overlap_in_threads_leave_every_count_as_found():
    found = fresh(
        LIVE
        + """
import torch
corewise.ensure_parallel_init(num_backend_threads=3)
barrier = threading.Barrier(4)
def work(index):
    torch.set_num_threads(4 + index)
    barrier.wait()
    for turn in range(50):
        with corewise.limit(backends=1 + (index + turn) % 3):
            assert live() == 1 + (index + turn) % 3
    barrier.wait()
    return live()
with ThreadPoolExecutor(4) as pool:
    counts = list(pool.map(work, range(4)))
torch.set_num_threads(3)
report([counts, live()])
"""
    )
    assert found == [[4, 5, 6, 7], 3]


def test_the_main_thread_is_limited_also_where_another_thread_initialised_first():
    found = fresh(
        LIVE
        + """
import torch
torch.set_num_threads(5)
live()  # from its first use on, a thread has a count of its own
in_thread(lambda: corewise.ensure_parallel_init(num_backend_threads=3))
before = live(), outcome("torch")
corewise.ensure_parallel_init()
limited = live(), outcome("torch"), in_thread(live)
corewise.reset()
report([before, limited, live()])
"""
    )
    assert found == [[5, ["failed", 3, 5]], [3, ["applied", 3, 3], 3], 5]


@pytest.mark.parametrize("variables", [{}, {"OMP_NUM_THREADS": "3"}])
def test_worker_processes_get_their_share_also_where_the_user_set_a_variable(variables):
    found = fresh(
        """
        def live(_):
            import torch
            return torch.get_num_threads(), torch.get_num_interop_threads()
        corewise.ensure_parallel_init(num_cpus=8, num_threads=1)
        with corewise.executor("spawn", workers=2) as pool:
            report(list(pool.map(live, [0])))
        """,
        warnings="ignore",
        variables=variables,
    )
    assert found == [[4, 4]]
