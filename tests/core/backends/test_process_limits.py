"""Limits on the real OpenBLAS of numpy and scipy, each test in a process of its own."""

import os

import pytest
from fresh_process import fresh

CPUS = len(os.sched_getaffinity(0))

LIVE = """
def live():
    import threadpoolctl
    return sorted({each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"})
"""


def test_a_library_that_is_loaded_is_limited_now_and_given_back():
    found = fresh(
        LIVE + "import numpy; found = live(); corewise.ensure_parallel_init(num_backend_threads=3);"
        "limited = live(); said = outcome('openblas'); corewise.reset(); report([found, limited, said, live()])"
    )
    assert found == [[CPUS], [3], ["applied", 3, 3], [CPUS]]


def test_libraries_that_are_imported_later_are_limited_without_another_call_and_freed_by_reset():
    found = fresh(
        LIVE + "corewise.ensure_parallel_init(num_backend_threads=3); before = outcome('openblas');"
        "import numpy, scipy.linalg; limited = live(); said = outcome('openblas'); corewise.reset();"
        "report([before, limited, said, live()])"
    )
    assert found == [["not loaded yet", 3, None], [3], ["applied", 3, 3], [CPUS]]


def test_a_copy_that_scipy_loads_within_a_limit_is_limited_too():
    found = fresh(
        LIVE + "import numpy\n"
        "with corewise.limit(backends=3):\n"
        "    import scipy.linalg; inside = live()\n"
        "report([inside, live()])"
    )
    assert found == [[3], [CPUS]]


def test_reset_removes_every_variable_and_the_import_hook():
    assert fresh("""
        import threadpoolctl
        before, finders = dict(os.environ), list(sys.meta_path)
        corewise.ensure_parallel_init()
        added = sorted(set(os.environ) - set(before))
        corewise.reset()
        report([bool(added), dict(os.environ) == before, sys.meta_path == finders])
    """) == [True, True, True]


def test_variables_set_here_are_not_taken_for_the_users_when_initialised_again():
    found = fresh("""
        import numpy
        corewise.ensure_parallel_init(num_backend_threads=3)
        first = outcome("openblas")
        corewise.reset()
        corewise.ensure_parallel_init(num_backend_threads=4)
        report([first, outcome("openblas")])
    """)
    assert found == [["applied", 3, 3], ["applied", 4, 4]]


def test_a_limit_is_given_back_after_an_exception():
    found = fresh(
        LIVE + "import numpy; corewise.ensure_parallel_init(num_backend_threads=3)\n"
        "try:\n"
        "    with corewise.limit(backends=1):\n"
        "        inside = live(); raise KeyError\n"
        "except KeyError:\n"
        "    report([inside, live()])"
    )
    assert found == [[1], [3]]


def test_each_copy_of_openblas_gets_its_own_count_back():
    found = fresh("""
        import numpy, scipy.linalg, threadpoolctl
        copies = [each for each in threadpoolctl.ThreadpoolController().lib_controllers if each.user_api == "blas"]
        from corewise.builtin.openblas import OpenBlas
        for number, copy in enumerate(copies):
            OpenBlas().set_threads(copy, 2 + number)
        before = [copy.num_threads for copy in copies]
        with corewise.limit(backends=1):
            inside = [copy.num_threads for copy in copies]
        report([before, inside, [copy.num_threads for copy in copies]])
    """)
    assert found == [[2, 3], [1, 1], [2, 3]]


def test_a_users_own_threadpool_limits_in_a_worker_thread_still_works():
    found = fresh(
        LIVE + "import numpy, threadpoolctl; corewise.ensure_parallel_init(num_backend_threads=3)\n"
        "def work():\n"
        "    with threadpoolctl.threadpool_limits(1):\n"
        "        return live()\n"
        "report([in_thread(work), live()])"
    )
    assert found == [[1], [3]]


def test_a_limit_in_a_worker_thread_holds_also_where_the_user_limited_in_the_main_thread():
    found = fresh(
        LIVE + "import numpy, threadpoolctl; threadpoolctl.threadpool_limits(2)\n"
        "def work():\n"
        "    with corewise.limit(backends=1):\n"
        "        return live()\n"
        "report([in_thread(work), live()])"
    )
    assert found == [[1], [2]]


def test_openblas_num_threads_of_the_user_leaves_blas_alone():
    found = fresh(
        LIVE
        + "import numpy; corewise.ensure_parallel_init(num_backend_threads=3); report([live(), outcome('openblas'),"
        "os.environ['OPENBLAS_NUM_THREADS'], corewise.child_env()['OPENBLAS_NUM_THREADS']])",
        variables={"OPENBLAS_NUM_THREADS": "1"},
    )
    assert found == [[1], ["left alone", None, 1], "1", "1"]


def test_a_negative_number_limits_and_exports_nothing():
    found = fresh(
        LIVE + "import numpy; before = dict(os.environ); corewise.ensure_parallel_init(num_backend_threads=-1);"
        "report([live(), outcome('openblas')[0], set(os.environ) <= {*before, 'KMP_DUPLICATE_LIB_OK'},"
        "'OMP_NUM_THREADS' in corewise.child_env()])"
    )
    assert found == [[CPUS], "left alone", True, False]


def test_a_child_is_limited_before_it_starts_and_does_not_take_that_for_the_users_wish():
    found = fresh("""
        import subprocess
        corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
        code = (
            "import numpy, corewise, threadpoolctl;"
            "born = threadpoolctl.threadpool_info()[0]['num_threads'];"
            "corewise.ensure_parallel_init(num_backend_threads=5);"
            "print(born, threadpoolctl.threadpool_info()[0]['num_threads'])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=corewise.child_env(workers=2), capture_output=True, text=True, check=True
        )
        report([int(number) for number in done.stdout.split()])
    """)
    assert found == [2, 5]


def test_two_threads_that_initialise_at_once_both_see_it_done():
    found = fresh("""
        import numpy
        barrier = threading.Barrier(8)
        def initialise(_):
            barrier.wait()
            corewise.ensure_parallel_init(num_backend_threads=3)
            return outcome("openblas")
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(initialise, range(8)))
        hooks = sum(type(finder).__name__ == "ImportWatch" for finder in sys.meta_path)
        corewise.reset()
        report([outcomes == [["applied", 3, 3]] * 8, hooks, outcome("openblas")[2]])
    """)
    assert found == [True, 1, CPUS]


def test_nothing_is_imported_to_limit_it():
    assert (
        fresh("""
        corewise.ensure_parallel_init()
        report([name for name in ("numpy", "scipy", "torch", "polars", "threadpoolctl") if name in sys.modules])
    """)
        == []
    )


def test_threads_of_an_executor_get_their_share_and_the_process_its_own_back():
    found = fresh(
        LIVE
        + """
import numpy
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)

def inner(_):
    return live()

def outer(_):
    mine = live()
    with corewise.executor("threads", workers=2) as nested:
        return [mine, *nested.map(inner, [0])]

before = live()
with corewise.executor("threads", workers=2) as pool:
    inside = list(pool.map(outer, [0]))
report([before, inside, live()])
""",
        warnings="ignore",
    )
    assert found == [[4], [[[2], [1]]], [4]]


@pytest.mark.parametrize(
    "take", ["list(results)", "next(results); results.close()", "next(results); del results", "fails(results)"]
)
def test_a_map_on_threads_holds_its_share_of_the_process_no_longer_than_it_runs(take):
    found = fresh(
        LIVE
        + f"""
import numpy
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
inside = []
def work(number):
    inside.append(live())
    assert number < 3
def fails(results):
    try:
        list(results)
    except AssertionError:
        pass
items = range(3) if {take!r} == "list(results)" else range(9)
before, threads = live(), set(threading.enumerate())
results = corewise.map(work, items, executor="threads", workers=8)
{take}
for thread in set(threading.enumerate()) - threads:
    thread.join()
report([before, inside[0], live()])
""",
        warnings="ignore",
    )
    assert found == [[4], [1], [4]]


def test_a_nested_map_on_threads_gives_back_the_share_of_the_outer_one():
    found = fresh(
        LIVE
        + """
import numpy
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
def outer(_):
    before = live()
    inner = list(corewise.map(lambda _: live(), [0], executor="threads", workers=4))
    return [before, inner, live()]
inside = list(corewise.map(outer, [0], executor="threads", workers=2))
report([live(), inside, live()])
""",
        warnings="ignore",
    )
    assert found == [[4], [[[2], [[1]], [2]]], [4]]


def test_an_executor_that_outlives_reset_gives_back_what_was_found_before_it():
    found = fresh(
        """
import numpy
from corewise.builtin.openblas import OpenBlas
library = OpenBlas()
library.limit(6)
seen = []
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
with corewise.executor("threads", workers=8) as pool:
    pool.submit(int).result()
    seen.append(library.threads())
    corewise.reset()
    seen.append(library.threads())
    corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
    seen.append(library.threads())
seen.append(library.threads())
corewise.reset()
report([seen, library.threads()])
""",
        warnings="ignore",
    )
    assert found == [[1, 1, 1, 4], 6]


def test_threads_of_an_executor_that_never_says_stop_get_their_share_until_they_end():
    found = fresh(
        LIVE
        + """
import numpy, types
from corewise.executors.worker import Worker
from corewise.runtime import current_runtime
from corewise.settings.resolve import share
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
limits, config = current_runtime().limits, corewise.get_parallel_config()

def work():
    limits.enter_worker(share(config, 0, 2, "threads"))
    return live()

report([in_thread(work), live()])
"""
    )
    assert found == [[2], [4]]


def test_an_unknown_backend_and_a_wrong_number_are_errors_that_say_what_is_allowed():
    found = fresh("""
        def error(backends):
            try:
                with corewise.limit(backends):
                    pass
            except Exception as error:
                return [type(error).__name__, str(error)]
        report([error({"openblass": 1}), error(0), error({"openblas": True})])
    """)
    assert found[0] == ["UnknownPluginError", "no backend is called 'openblass'; did you mean openblas?"]
    assert found[1][0] == found[2][0] == "SettingsError"
    assert "must be a whole number from 1, got 0" in found[1][1]
    assert "openblas: must be a whole number from 1, got True" in found[2][1]


SPAWN = """
def live():
    import threadpoolctl
    import numpy
    return sorted({each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"})

def work(_):
    return [live(), corewise.get_parallel_config().num_cpus]

def nested(_):
    with corewise.executor("threads", workers=2) as pool:
        return [live(), list(pool.map(lambda _: live(), [0]))]

if __name__ == "__main__":
    corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
    with corewise.executor("spawn", workers=2) as pool:
        inside = [list(pool.map(work, [0])), list(pool.map(nested, [0]))]
    report(inside)
"""


def test_processes_of_an_executor_get_their_share_and_divide_it_again():
    assert fresh(SPAWN, warnings="ignore") == [[[[2], 4]], [[[2], [[1]]]]]


REASON = """
def reason(name):
    return next(each.reason for each in corewise.backend_outcomes() if each.backend == name)
"""


@pytest.mark.parametrize(
    "settings", ["", "backends={'openblas': {'enabled': False}}", "backends={'openblas': {'threads': -1}}"]
)
def test_blas_that_the_user_claims_has_all_its_threads_when_it_is_imported_late(settings):
    found = fresh(
        LIVE
        + REASON
        + f"""
corewise.ensure_parallel_init(num_cpus=8, num_threads=2, {settings})
exported = "OMP_NUM_THREADS" in os.environ
import numpy
claimed = outcome("openblas")[0], reason("openblas").partition(";")[2]
missing = reason("openmp").partition(": ")[0]
corewise.reset()
report([exported, claimed, live(), missing, reason("openblas")])
""",
        variables={} if settings else {"MKL_NUM_THREADS": "3"},
    )
    left_alone = ["left alone", " child processes get OMP_NUM_THREADS, which it follows"]
    assert found == [
        False,
        left_alone,
        [CPUS],
        "OMP_NUM_THREADS is not set here",
        "corewise has not limited this process",
    ]


def test_a_child_of_a_process_whose_blas_is_left_alone_gets_the_number_for_openmp_and_says_so():
    found = fresh(
        REASON
        + """
import subprocess
corewise.ensure_parallel_init(num_cpus=2, num_threads=2)
code = "import corewise, numpy; corewise.ensure_parallel_init(); print(*corewise.backend_outcomes(), sep='|')"
done = subprocess.run([sys.executable, "-c", code], env=corewise.child_env(), stdout=subprocess.PIPE, check=True)
report([line for line in done.stdout.decode().split('|') if line.startswith("openblas")])
""",
        variables={"MKL_NUM_THREADS": "3"},
    )
    reason = "MKL_NUM_THREADS=3 is set by the user; it follows OMP_NUM_THREADS=1, which corewise has set"
    assert found == [f"openblas: left alone, 1 threads ({reason})"]


def test_openmp_gets_its_variable_where_blas_follows_one_of_its_own():
    found = fresh(
        "corewise.ensure_parallel_init(num_cpus=8, num_threads=2); report(os.environ.get('OMP_NUM_THREADS'))",
        variables={"OPENBLAS_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "BLIS_NUM_THREADS": "3"},
    )
    assert found == "4"


@pytest.mark.parametrize(("variable", "threads"), [("OPENBLAS_NUM_THREADS", 1), ("MKL_NUM_THREADS", CPUS)])
def test_a_variable_that_the_user_sets_before_the_import_leaves_the_library_alone(variable, threads):
    found = fresh(
        LIVE
        + REASON
        + f"""
corewise.ensure_parallel_init(num_backend_threads=3)
os.environ[{variable!r}] = "1"
before = outcome("openblas")[0]
import numpy
said = [before, outcome("openblas"), reason("openblas").partition(";")[0], live()]
with corewise.limit(backends=5):
    limited = live()
corewise.reset()
report([*said, limited, live(), os.environ[{variable!r}]])
"""
    )
    said = ["left alone", ["left alone", None, threads], f"{variable}=1 is set by the user", [threads]]
    assert found == [*said, [5], [threads], "1"]


def test_a_variable_that_the_user_sets_after_the_import_changes_nothing():
    found = fresh(
        LIVE
        + """
import numpy
corewise.ensure_parallel_init(num_backend_threads=3)
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import scipy.linalg
report([live(), outcome("openblas")])
"""
    )
    assert found == [[3], ["applied", 3, 3]]


def test_a_library_that_the_user_claims_before_its_import_is_not_limited_by_worker_threads_either():
    found = fresh(
        LIVE
        + """
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
def work():
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import numpy
    return live()
with corewise.executor("threads", workers=2) as pool:
    report([pool.submit(work).result(), pool.submit(live).result(), live()])
""",
        warnings="ignore",
    )
    assert found == [[1], [1], [1]]
