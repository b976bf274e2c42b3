import gc
import random
import threading

import pytest
import spawned
from engines import make_executor
from tasks import double, fail_on_multiples_of_three


@pytest.mark.parametrize("seed", range(3))
def test_maps_that_are_closed_at_any_moment_cost_no_worker_and_hold_up_no_other_map(seed, caplog):
    chance = random.Random(seed)  # noqa: S311 - the same sequence each time
    with make_executor("spawn") as executor:
        pids = {process.pid for process in executor.within._core.processes}
        for _ in range(400):
            items = [chance.randint(1, 60) for _ in range(chance.randint(0, 120))]
            results = executor.map(fail_on_multiples_of_three, items, chunksize=chance.choice([None, 1, 7, 40]))
            for item in items[: chance.randint(0, 120)]:
                if item % 3 == 0:
                    break
                assert next(results) == item
            results.close()
            pids |= {process.pid for process in executor.within._core.processes}
        assert list(executor.map(double, range(100), timeout=60)) == [2 * x for x in range(100)]
    assert len(pids) <= executor.workers
    assert [record.getMessage() for record in caplog.records] == []


def test_a_map_that_is_closed_before_its_workers_are_there_leaves_them_whole(caplog):
    for _ in range(5):
        with make_executor("spawn") as executor:
            executor.map(fail_on_multiples_of_three, range(100), chunksize=1).close()
            assert list(executor.map(double, range(10), timeout=60)) == [2 * x for x in range(10)]
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("wait", [True, False])
def test_a_callback_may_shut_its_pool_down_but_cannot_wait_for_that(wait, caplog, tmp_path):
    path = tmp_path / "open"
    executor = spawned.make_executor(1)
    outcomes = []
    called = threading.Event()

    def shut_down(_):
        outcomes.append(spawned.outcome_of(lambda: executor.shutdown(wait=wait)))
        called.set()

    future = executor.submit(spawned.wait_for, str(path))
    future.add_done_callback(shut_down)
    path.touch()
    assert called.wait(60)
    executor.shutdown()
    assert [type(outcome) for outcome in outcomes] == [RuntimeError if wait else type(None)]


def test_an_executor_that_is_collected_while_arguments_are_pickled_finishes_what_it_was_given(tmp_path):
    path = tmp_path / "open"

    class Collects:
        def __reduce__(self):
            gc.collect()
            return int, ()

    cycle = [spawned.make_executor(1)]
    cycle.append(cycle)
    executor = cycle[0]
    futures = [executor.submit(spawned.wait_for, str(path), 0)]
    futures += [executor.submit(spawned.double, Collects()) for _ in range(3)]
    futures.append(executor.submit(spawned.double, 7))
    ended = executor.within._core.reader.ended
    del executor, cycle
    path.touch()
    assert [future.result(60) for future in futures] == [0, 0, 0, 0, 14]
    gc.collect()
    assert ended.wait(60)


def test_a_dropped_executor_takes_no_lock():
    executor = spawned.make_executor(1)
    executor.submit(spawned.double, 1).result(60)
    core = executor.within._core
    dropped, let_go = threading.Event(), threading.Event()

    def hold():
        with core.lock:
            dropped.set()
            let_go.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert dropped.wait(60)
    del executor
    gc.collect()
    assert core.closing
    assert not core.reader.ended.is_set()
    let_go.set()
    holder.join()
    assert core.reader.ended.wait(60)


def test_a_callback_may_end_the_workers_of_its_pool(tmp_path):
    path = tmp_path / "open"
    executor = spawned.make_executor(1)
    outcomes = []
    called = threading.Event()

    def kill(_):
        outcomes.append(spawned.outcome_of(executor.within.kill_workers))
        called.set()

    executor.submit(spawned.wait_for, str(path)).add_done_callback(kill)
    path.touch()
    assert called.wait(60)
    assert outcomes == [None]
    assert executor.within._core.reader.ended.wait(60)
