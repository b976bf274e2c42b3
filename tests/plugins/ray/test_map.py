import concurrent.futures
import itertools
import logging
import os
import threading
import traceback
from collections import Counter
from functools import partial
from pathlib import Path

import changing
import numpy as np
import pytest
from tasks import add, double, fail_on_multiples_of_three, leave, stop_on_two

import corewise
from corewise.errors import ItemTimeoutError, WorkerDiedError
from corewise.executors.failure import Failure

ray = pytest.importorskip("ray", reason="Ray is installed for one Python only")

import ray_tasks as work  # noqa: E402 - it imports Ray

# Ray opens a connection to each worker when it is first used; the module resets what was resolved.
pytestmark = pytest.mark.leaves("file descriptors", "runtime")


@pytest.fixture(scope="module", autouse=True)
def _cluster(local_cluster):
    yield
    corewise.reset()


@pytest.fixture(scope="module")
def shared_executor(_cluster):
    with corewise.executor("ray", workers=2) as executor:
        # Workers are slow to start: the tests find them started.
        assert list(executor.map(double, range(4), chunksize=1)) == [0, 2, 4, 6]
        yield executor


@pytest.fixture(scope="module", autouse=True)
def _started(shared_executor):
    """Before the first test observes what is there."""


@pytest.fixture
def executor(shared_executor):
    return shared_executor


def test_results_come_in_the_order_of_the_items(executor):
    assert list(executor.map(double, range(20_000))) == [2 * x for x in range(20_000)]


@pytest.mark.parametrize("fn", [changing.count, changing.large, changing.in_a_tuple, changing.kept, changing.error])
def test_what_items_return_is_not_changed_by_those_behind_them(executor, fn):
    outcomes = executor.map(fn, range(60), chunksize=20, on_error="return")
    assert [changing.number(getattr(each, "error", each)) for each in outcomes] == [*range(60)]


def test_references_of_ray_arrive_among_several_results(executor):
    assert [ray.get(each) for each in executor.map(ray.put, range(4), chunksize=4)] == [*range(4)]


def test_unordered_results_are_all_there(executor):
    assert sorted(executor.map(double, range(1000), ordered=False)) == [2 * x for x in range(1000)]


def test_unordered_results_do_not_wait_for_a_slow_head(executor, tmp_path):
    release = tmp_path / "release"

    def head(item):
        return item or work.wait_for(str(release))

    results = executor.map(head, range(2), ordered=False, chunksize=1)
    assert next(results) == 1
    release.touch()
    assert list(results) == [str(release)]


def test_several_iterables_end_with_the_shortest(executor):
    assert list(executor.map(add, range(10), itertools.count(100))) == [100 + 2 * x for x in range(10)]


def test_no_items_give_no_results(executor):
    assert list(executor.map(double, [])) == []


def test_lambdas_and_closures_travel(executor):
    step = 10
    assert list(executor.map(lambda x: x + step, range(3))) == [10, 11, 12]
    assert executor.submit(lambda x: x + step, 1).result(timeout=60) == 11


def test_items_of_classes_from_the_import_path_of_the_parent_travel(local_cluster):
    with corewise.executor("ray", workers=4) as executor:
        results = executor.map(lambda item: item(), [work.Named("a"), work.Named("b")])
        assert [result.name for result in results] == ["a!", "b!"]


def test_submit_gives_a_future_with_result_or_error(executor):
    assert executor.submit(add, 1, y=2).result(timeout=60) == 3
    with pytest.raises(ValueError, match="bad 3"):
        executor.submit(fail_on_multiples_of_three, 3).result(timeout=60)


def test_an_error_is_raised_in_its_turn_with_index_and_remote_traceback(executor):
    results = executor.map(fail_on_multiples_of_three, range(1, 100))
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="bad 3") as caught:
        next(results)
    assert caught.value.__notes__ == ["map: item 2"]
    assert "in fail_on_multiples_of_three" in "".join(traceback.format_exception(caught.value))


def test_failures_are_returned_or_skipped(executor):
    results = list(executor.map(fail_on_multiples_of_three, range(5), on_error="return"))
    assert [(r.index, str(r.error)) if isinstance(r, Failure) else r for r in results] == [
        (0, "bad 0"), 1, 2, (3, "bad 3"), 4,
    ]  # fmt: skip
    assert list(executor.map(fail_on_multiples_of_three, range(7), on_error="skip")) == [1, 2, 4, 5]


def test_stop_iteration_and_system_exit_are_the_failures_of_their_items(executor):
    results = list(executor.map(stop_on_two, range(4), on_error="return"))
    assert [type(r) for r in results] == [int, int, Failure, int]
    [failure] = executor.map(leave, [3], on_error="return")
    assert isinstance(failure.error, SystemExit)


def test_failed_items_are_tried_again(executor, tmp_path):
    def flaky(folder, item):
        mark = Path(folder, str(item))
        if not mark.exists():
            mark.touch()
            raise ValueError(item)
        return item

    assert list(executor.map(partial(flaky, tmp_path), range(20), retries=1)) == list(range(20))


def test_an_item_that_cannot_be_pickled_fails_alone(executor):
    items = [1, threading.Lock(), 2]
    results = list(executor.map(type, items, on_error="return", chunksize=3))
    assert [results[0], results[2]] == [int, int]
    assert isinstance(results[1].error, TypeError)


def test_a_result_that_cannot_be_pickled_fails_alone_and_no_item_runs_twice(executor, tmp_path):
    results = list(executor.map(partial(work.note_run, str(tmp_path)), range(6), on_error="return", chunksize=6))
    assert [r for r in results if not isinstance(r, Failure)] == [0, 1, 2, 4, 5]
    assert isinstance(results[3].error, TypeError)
    assert [(tmp_path / str(item)).read_text() for item in range(6)] == ["x"] * 6


def test_an_item_that_kills_its_worker_fails_alone(executor):
    results = list(executor.map(partial(work.die_on, 3), range(8), on_error="return", chunksize=4))
    assert [r for r in results if not isinstance(r, Failure)] == [0, 1, 2, 4, 5, 6, 7]
    assert isinstance(results[3].error, WorkerDiedError)
    assert "ended 3 times" in str(results[3].error)


def test_a_worker_that_dies_once_costs_no_item(executor, tmp_path):
    assert list(executor.map(partial(work.die_once, str(tmp_path)), range(8), chunksize=4)) == list(range(8))
    assert (tmp_path / "died-3").exists()


@pytest.mark.parametrize("stubborn", [False, True], ids=["in Python", "clinging"])
def test_a_timeout_ends_that_item_alone(executor, stubborn):
    fn = work.cling if stubborn else work.sleep_on_two
    results = list(executor.map(fn, range(5), item_timeout=0.5, on_error="return"))
    assert [r for r in results if not isinstance(r, Failure)] == [0, 1, 3, 4]
    assert isinstance(results[2].error, ItemTimeoutError)


def test_few_items_use_every_worker(executor, tmp_path):
    assert list(executor.map(partial(work.meet, str(tmp_path)), [0, 1])) == [0, 1]


def test_no_more_tasks_run_at_once_than_there_are_workers(executor):
    gauge = work.Gauge.remote()
    assert list(executor.map(partial(work.through, gauge), range(12), chunksize=1)) == list(range(12))
    assert ray.get(gauge.counts.remote()) == (12, 2)


def test_a_slow_head_holds_no_more_than_the_buffer(executor, tmp_path, patiently):
    release = tmp_path / "release"
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    def head(item):
        if item == 0:
            work.wait_for(str(release))
        (tmp_path / str(item)).touch()
        return item

    results = executor.map(head, items(), buffersize=20)
    consumer = threading.Thread(target=next, args=(results,))
    consumer.start()
    # The other worker gets everything that the buffer admits; item 0 blocks the rest.
    patiently((tmp_path / "19").exists)
    assert len(taken) == 20
    release.touch()
    consumer.join(60)
    assert list(results) == list(range(1, 1000))


def test_closing_interrupts_what_runs_and_withdraws_the_rest(executor, tmp_path, patiently):
    def stay(number):
        try:
            work.wait_for(str(tmp_path / f"never-{number}"))
        except KeyboardInterrupt:
            Path(tmp_path, f"interrupted-{number}").touch()
            raise

    results = executor.map(stay, range(40), chunksize=5)
    patiently(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
    results.close()
    patiently(lambda: len(list(tmp_path.glob("interrupted-*"))) == 2)
    # The workers are free, and ran nothing else of it.
    assert list(executor.map(double, range(4), chunksize=1)) == [0, 2, 4, 6]
    assert len(list(tmp_path.glob("*.begun"))) == 2


def test_the_callable_travels_once_per_map_and_is_loaded_once_per_worker(executor, tmp_path):
    path = tmp_path / "notes"
    assert list(executor.map(work.Counted(str(path)), range(200), chunksize=5)) == list(range(200))
    notes = Counter(path.read_text().splitlines())
    assert notes.pop(f"pickled {os.getpid()}") == 1
    assert 1 <= len(notes) <= 2
    assert set(notes.values()) == {1}


def test_arrays_are_read_in_place(executor):
    array = np.arange(1 << 20, dtype=np.float64)

    def facts(item):
        return item.flags.owndata, item.flags.writeable, float(item.sum()), item + 1

    for owned, writeable, total, more in executor.map(facts, [array, array * 2]):
        assert (owned, writeable) == (False, False)
        assert (more[:3] - 1).sum() == total * 0 + (0 + 1 + 2) * (total / array.sum())
        assert not more.flags.owndata


def test_a_shared_object_is_the_same_in_every_map(executor):
    shared = executor.share(np.ones(100_000))
    assert shared.get() is shared.get()
    for _ in range(2):
        assert list(executor.map(lambda item: float(shared.get().sum()) + item, range(3))) == [1e5, 1e5 + 1, 1e5 + 2]


def test_references_of_ray_travel_inside_items_and_callables(executor):
    reference = ray.put([1, 2])
    assert list(executor.map(lambda item: ray.get(item[0])[item[1]], [(reference, 0), (reference, 1)])) == [1, 2]
    assert list(executor.map(lambda item: ray.get(reference)[item], [0, 1])) == [1, 2]


def test_log_records_of_workers_arrive_here(caplog):
    caplog.set_level(logging.INFO, logger="ray_tasks")
    with corewise.executor("ray", workers=2) as executor:
        assert list(executor.map(work.log, range(3))) == [0, 1, 2]
    assert sorted(record.getMessage() for record in caplog.records if record.name == "ray_tasks.inner") == [
        "item 0", "item 1", "item 2",
    ]  # fmt: skip


def test_a_worker_is_a_smaller_machine():
    def facts(_):
        from corewise.executors.worker import current_worker

        worker = current_worker()
        return worker.count, worker.executor, corewise.get_parallel_config().num_cpus

    expected = max(1, corewise.get_parallel_config().num_cpus // 2)
    with corewise.executor("ray", workers=2) as executor:
        assert set(executor.map(facts, range(4), chunksize=1)) == {(2, "ray", expected)}


@pytest.mark.parametrize("threads", [1, 2])
def test_workers_have_the_backend_threads_that_were_asked_for(threads):
    def facts(_):
        import threadpoolctl

        pools = threadpoolctl.threadpool_info()
        return os.environ["OMP_NUM_THREADS"], {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}

    corewise.reset()
    corewise.configure(num_backend_threads=threads)
    try:
        with corewise.executor("ray", workers=2) as executor:
            assert list(executor.map(facts, range(4), chunksize=1)) == [(str(threads), {threads})] * 4
    finally:
        corewise.reset()


def test_maps_of_one_executor_do_not_disturb_each_other(executor):
    first, second = executor.map(double, range(500)), executor.map(abs, range(0, -500, -1))
    assert list(zip(first, second, strict=True)) == [(2 * x, x) for x in range(500)]


def test_a_task_can_map_on_ray_while_the_cluster_is_full(local_cluster):
    def outer(item):
        with corewise.executor("ray", workers=2) as inner:
            return sum(inner.map(double, range(item + 10))) + inner.submit(double, 1).result(timeout=60)

    with corewise.executor("ray", workers=4) as executor:
        assert list(executor.map(outer, range(4), chunksize=1)) == [2 * sum(range(n + 10)) + 2 for n in range(4)]


def test_a_task_can_wait_for_calls_on_ray_while_the_cluster_is_full(local_cluster):
    def outer(item):
        with corewise.executor("ray", workers=2) as inner:
            futures = [inner.submit(double, item + number) for number in range(3)]
            done, waiting = concurrent.futures.wait(futures, timeout=100)
            assert not waiting
            first = next(concurrent.futures.as_completed([inner.submit(double, 1)], timeout=100))
            return sum(future.result() for future in done) + first.result()

    with corewise.executor("ray", workers=4) as executor:
        assert list(executor.map(outer, range(4), chunksize=1)) == [2 * (3 * n + 3) + 2 for n in range(4)]


def test_shutdown_lets_what_was_submitted_end_and_takes_no_more(tmp_path):
    executor = corewise.executor("ray", workers=1)
    futures = [executor.submit(double, x) for x in range(5)]
    executor.shutdown()
    assert [future.result(timeout=0) for future in futures] == [0, 2, 4, 6, 8]
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(double, 1)


def test_cancelling_at_shutdown_cancels_what_waits(tmp_path, patiently):
    executor = corewise.executor("ray", workers=1)
    futures = [executor.submit(work.wait_for, str(tmp_path / "go")) for _ in range(3)]
    patiently((tmp_path / "go.begun").exists)
    executor.shutdown(wait=False, cancel_futures=True)
    assert [future.cancelled() for future in futures] == [False, True, True]
    (tmp_path / "go").touch()
    assert futures[0].result(timeout=60)
    executor.shutdown()


def test_ray_that_the_program_started_is_left_alone(local_cluster):
    with corewise.executor("ray", workers=1) as executor:
        executor.submit(double, 1).result(timeout=60)
    assert local_cluster.is_initialized()
