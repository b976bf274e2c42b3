import pickle

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given

from corewise.cpus import CpuCount
from corewise.executors.contract import ExecutorFactory
from corewise.settings.describe import describe
from corewise.settings.model import BackendSettings, Origin, ParallelConfig, ParallelSettings
from corewise.settings.resolve import resolve, share

EFFECTIVE = 16
GIL, FREE = False, True


def factory(name, **facts):
    return ExecutorFactory(name=name, create=lambda request: request, **facts)


EXECUTORS = {
    "serial": factory("serial", parallel=False, in_caller=True),
    "threads": factory("threads", shares_memory=True),
    "spawn": factory("spawn", processes=True),
    "theirs": factory("theirs"),
}


def config(build=GIL, effective=EFFECTIVE, origins=None, **asked):
    return resolve(
        ParallelSettings(**asked),
        origins or {},
        cpus=CpuCount(value=effective, source="affinity"),
        executors=EXECUTORS,
        free_threaded=build,
    )


def asked(cpus=0, threads=0, backend=0, batch=0, **more):
    return {"num_cpus": cpus, "num_threads": threads, "num_backend_threads": backend, "num_batch_jobs": batch, **more}


GOLDEN = [
    (asked(cpus=1), GIL, (1, 1, 1, 1), 1),
    (asked(cpus=2), GIL, (2, 2, 1, 1), 1),
    (asked(cpus=4), GIL, (4, 4, 1, 1), 1),
    (asked(cpus=8), GIL, (8, 8, 1, 1), 1),
    (asked(cpus=12), GIL, (12, 8, 1, 1), 1),
    (asked(cpus=16), GIL, (16, 8, 2, 1), 2),
    (asked(cpus=24), GIL, (24, 8, 3, 1), 3),
    (asked(cpus=32), GIL, (32, 8, 4, 1), 4),
    (asked(cpus=64), GIL, (64, 8, 4, 1), 4),
    (asked(cpus=128), GIL, (128, 8, 4, 1), 4),
    (asked(cpus=16), FREE, (16, 8, 2, 8), 2),
    (asked(cpus=16, use_ray=True), GIL, (16, 8, 2, 8), 2),
    (asked(cpus=8, threads=4), GIL, (8, 4, 2, 1), 2),
    (asked(cpus=8, threads=-1), GIL, (8, 8, 1, 1), 1),
    (asked(cpus=8, threads=-1), FREE, (8, 8, 1, 8), 1),
    (asked(cpus=16, batch=-1), GIL, (16, 8, 2, 16), 2),
    (asked(cpus=16, batch=3), GIL, (16, 8, 2, 3), 2),
    (asked(cpus=16, backend=-1), GIL, (16, 8, -1, 1), None),
    (asked(cpus=16, backend=9), GIL, (16, 8, 9, 1), 9),
    (asked(cpus=4, threads=16), GIL, (4, 16, 1, 1), 1),
    (asked(cpus=64, threads=4), GIL, (64, 4, 4, 1), 4),
    (asked(cpus=-5), GIL, (16, 8, 2, 1), 2),
    (asked(), GIL, (16, 8, 2, 1), 2),
]


def counts(found):
    return found.num_cpus, found.num_threads, found.num_backend_threads, found.num_batch_jobs


@pytest.mark.parametrize(("settings", "build", "expected", "child"), GOLDEN)
def test_golden_vector(settings, build, expected, child):
    found = config(build, **settings)
    assert counts(found) == expected
    alone = share(found, 0, 1, found.executor).num_backend_threads
    assert (alone if alone > 0 else None) == child


@pytest.mark.parametrize(("name", "jobs"), [("spawn", 8), ("theirs", 8), ("threads", 8), ("serial", 1), ("ray", 8)])
def test_a_named_executor_that_runs_in_parallel_gets_as_many_workers_as_threads(name, jobs):
    found = config(num_cpus=16, executor=name)
    assert (found.executor, found.num_batch_jobs) == (name, jobs)


def test_no_explicit_value_is_clamped():
    found = config(num_cpus=2, num_threads=100, num_backend_threads=50, num_batch_jobs=70)
    assert counts(found) == (2, 100, 50, 70)


def test_use_ray_and_the_executor_ray_are_the_same():
    flag, name = config(use_ray=True), config(executor="ray")
    assert flag.executor == name.executor == "ray"
    assert flag.use_ray is name.use_ray is True
    assert counts(flag) == counts(name)


def test_an_executor_that_use_ray_chose_has_its_origin():
    found = config(origins={"use_ray": Origin("env", "COREWISE_USE_RAY")}, use_ray=True)
    assert str(found.origins["executor"]) == "env COREWISE_USE_RAY (use_ray gives 'ray')"


def test_a_free_threaded_build_runs_threads_and_says_why():
    found = config(FREE)
    assert (found.executor, found.executor_reason) == ("threads", "Python runs without the GIL")


def test_every_resolved_value_says_where_it_comes_from():
    origins = {
        "num_cpus": Origin("env", "COREWISE_NUM_CPUS"),
        "num_threads": Origin("file", "corewise.toml line 4"),
        "num_batch_jobs": Origin("argument", "num_batch_jobs"),
    }
    found = config(origins=origins, num_cpus=12, num_threads=-1, num_batch_jobs=3)
    assert {row.key: str(row.origin) for row in describe(found)} == {
        "executor": "default auto",
        "use_ray": "default",
        "num_cpus": "env COREWISE_NUM_CPUS",
        "num_threads": "corewise.toml line 4 (-1 gives num_cpus)",
        "num_backend_threads": "default max(min(num_cpus // num_threads, 4), 1)",
        "num_batch_jobs": "argument num_batch_jobs",
        "plugins.disable": "default",
        "plugins.strict": "default",
    }


def test_defaults_name_the_rule_that_made_them():
    found = config()
    assert str(found.origins["num_cpus"]) == "default effective_cpu_count() by affinity"
    assert str(found.origins["num_threads"]) == "default min(num_cpus, 8)"
    assert str(found.origins["num_batch_jobs"]) == "default 1 for serial"
    assert str(config(executor="spawn").origins["num_batch_jobs"]) == "default num_threads"


def test_rows_hold_plugins_tables_and_their_origins():
    found = attrs.evolve(
        config(origins={"backends.torch.threads": Origin("env", "COREWISE_BACKENDS__TORCH__THREADS")}),
        backends={"torch": BackendSettings(threads=2)},
    )
    rows = {row.key: (row.value, str(row.origin)) for row in describe(found)}
    assert rows["backends.torch.threads"] == (2, "env COREWISE_BACKENDS__TORCH__THREADS")
    assert rows["backends.torch.enabled"] == (True, "plugin default")


def test_an_executor_that_cannot_even_say_whether_it_can_run_is_passed_over():
    def broken():
        raise RuntimeError("no driver")

    executors = EXECUTORS | {"spawn": factory("spawn", unavailable=broken)}
    found = resolve(
        ParallelSettings(num_batch_jobs=4),
        {},
        cpus=CpuCount(value=4, source="affinity"),
        executors=executors,
        free_threaded=False,
    )
    assert found.executor == "serial"
    assert "RuntimeError: no driver" in found.executor_reason


def test_a_resolved_configuration_survives_pickling_with_all_that_a_share_needs():
    found = config(executor="spawn", backends={"torch": BackendSettings(threads=2)})
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert (again.origins, again.asked, again.machine) == (found.origins, found.asked, found.machine)
    assert share(again, 1, 4, "spawn") == share(found, 1, 4, "spawn")


def test_cpus_are_divided_and_the_remainder_goes_to_the_first_workers():
    found = config(num_cpus=11)
    assert [share(found, index, 4, "spawn").num_cpus for index in range(4)] == [3, 3, 3, 2]


def test_every_worker_has_a_cpu():
    found = config(num_cpus=2)
    assert [share(found, index, 4, "spawn").num_cpus for index in range(4)] == [1, 1, 1, 1]


def test_a_worker_resolves_its_threads_from_its_share():
    worker = share(config(num_cpus=16, executor="spawn"), 0, 2, "spawn")
    assert counts(worker) == (8, 8, 1, 8)
    assert worker.executor == "spawn"


def test_a_worker_with_one_cpu_works_serially_and_says_why():
    worker = share(config(num_cpus=4, executor="spawn"), 1, 4, "spawn")
    assert (worker.executor, worker.num_batch_jobs) == ("serial", 1)
    assert worker.executor_reason == "worker 2 of 4 on spawn has one CPU, so it works serially"


def test_threads_that_were_asked_for_are_at_most_the_share_among_several_workers():
    found = config(num_cpus=8, num_threads=6)
    assert share(found, 0, 2, "spawn").num_threads == 4
    assert share(found, 0, 1, "spawn").num_threads == 6
    assert str(share(found, 1, 2, "spawn").origins["num_threads"]) == "worker 2 of 2"


@pytest.mark.parametrize("threads", [-1, 9])
def test_backend_threads_that_were_asked_for_stay(threads):
    found = config(num_cpus=8, num_backend_threads=threads)
    assert share(found, 3, 4, "spawn").num_backend_threads == threads


def test_workers_that_were_asked_of_the_parent_are_not_asked_of_the_worker():
    worker = share(config(num_cpus=16, num_batch_jobs=4), 0, 4, "spawn")
    assert (worker.num_cpus, worker.executor, worker.num_batch_jobs) == (4, "serial", 1)


def test_a_workers_values_say_that_they_are_a_share():
    worker = share(config(num_cpus=8, origins={"num_cpus": Origin("env", "COREWISE_NUM_CPUS")}), 1, 4, "spawn")
    assert str(worker.origins["num_cpus"]) == "worker 2 of 4"
    assert str(worker.origins["num_threads"]) == "default min(num_cpus, 8)"


def test_a_share_keeps_what_was_asked_and_where():
    origin = Origin("file", "corewise.toml line 4")
    worker = share(config(num_cpus=8, num_threads=-1, origins={"num_threads": origin}), 0, 4, "spawn")
    assert worker.num_threads == 2
    assert str(worker.origins["num_threads"]) == "corewise.toml line 4 (-1 gives num_cpus)"


@pytest.mark.parametrize(("index", "count"), [(4, 4), (-1, 4), (0, 0)])
def test_a_worker_that_does_not_exist_has_no_share(index, count):
    with pytest.raises(ValueError, match=f"less than the count {count}, got {index}"):
        share(config(), index, count, "spawn")


def busiest(found, depth):
    """How many threads run at once when every worker at every depth maps over its own work."""
    if depth == 0 or found.num_batch_jobs == 1:
        return max(found.num_threads, 1) * found.num_backend_threads
    jobs = found.num_batch_jobs
    return sum(busiest(share(found, index, jobs, found.executor), depth - 1) for index in range(jobs))


@given(
    cpus=st.integers(1, 40),
    build=st.booleans(),
    executor=st.sampled_from(["auto", "spawn", "threads", "serial", "theirs", "ray"]),
    threads=st.integers(-1, 0),
    depth=st.integers(0, 3),
)
def test_nested_workers_never_use_more_cpus_than_there_are(cpus, build, executor, threads, depth):
    found = config(build, cpus, executor=executor, num_threads=threads)
    assert busiest(found, depth) <= cpus


@given(
    cpus=st.integers(1, 40),
    build=st.booleans(),
    executor=st.sampled_from(["auto", "spawn", "threads"]),
    jobs=st.integers(1, 12),
    threads=st.integers(0, 64),
)
def test_only_the_workers_that_were_asked_for_can_exceed_the_cpus(cpus, build, executor, jobs, threads):
    found = config(build, cpus, executor=executor, num_batch_jobs=jobs, num_threads=threads)
    workers = [share(found, index, jobs, found.executor) for index in range(jobs)]
    assert sum(worker.num_cpus for worker in workers) == max(cpus, jobs)
    if jobs > 1:
        assert sum(busiest(worker, 2) for worker in workers) <= max(cpus, jobs)


def test_a_configuration_made_by_hand_can_be_shared():
    by_hand = ParallelConfig(
        executor="spawn",
        executor_reason="by hand",
        use_ray=False,
        num_cpus=4,
        num_threads=4,
        num_backend_threads=1,
        num_batch_jobs=4,
    )
    assert share(by_hand, 0, 2, "spawn").num_cpus == 2
