"""The pool's futures behave as those of ProcessPoolExecutor do."""

import asyncio
import concurrent.futures
import gc
import threading
import weakref
from concurrent.futures import CancelledError, as_completed

import pytest
import spawned

from corewise.errors import ClosedError


@pytest.fixture
def executor():
    with spawned.make_executor() as executor:
        yield executor


@pytest.fixture
def gate(tmp_path):
    """Return the path that a task waits for, and what opens it."""
    path = tmp_path / "open"
    yield str(path), path.touch
    path.touch()


def test_as_completed_gives_every_future_once(executor):
    futures = {executor.submit(spawned.double, x): x for x in range(200)}
    assert {futures[future]: future.result() for future in as_completed(futures, timeout=60)} == {
        x: 2 * x for x in range(200)
    }


@pytest.mark.parametrize("when", [concurrent.futures.ALL_COMPLETED, concurrent.futures.FIRST_COMPLETED])
def test_wait_returns_when_it_should(executor, gate, when):
    path, open_gate = gate
    slow = executor.submit(spawned.wait_for, path)
    quick = executor.submit(spawned.double, 1)
    if when == concurrent.futures.FIRST_COMPLETED:
        done, waiting = concurrent.futures.wait([slow, quick], timeout=60, return_when=when)
        assert (done, waiting) == ({quick}, {slow})
    open_gate()
    assert concurrent.futures.wait([slow, quick], timeout=60) == ({slow, quick}, set())


def test_wait_for_the_first_exception(executor, gate):
    path, open_gate = gate
    slow, bad = executor.submit(spawned.wait_for, path), executor.submit(int, "x")
    done, _ = concurrent.futures.wait([slow, bad], timeout=60, return_when=concurrent.futures.FIRST_EXCEPTION)
    assert done == {bad}
    open_gate()


def test_callbacks_run_once_with_the_future_whenever_they_are_added(executor):
    called = []
    ready = threading.Event()
    future = executor.submit(spawned.double, 2)
    future.add_done_callback(called.append)
    future.add_done_callback(lambda _: ready.set())
    assert ready.wait(60)
    future.add_done_callback(called.append)
    assert called == [future, future]


def test_a_callback_may_submit_and_wait(executor):
    answers = []
    ready = threading.Event()

    def again(future):
        answers.append(executor.submit(spawned.double, future.result()).result(60))
        ready.set()

    executor.submit(spawned.double, 1).add_done_callback(again)
    assert ready.wait(60)
    assert answers == [4]


def test_what_has_not_begun_can_be_cancelled_and_what_runs_cannot(gate):
    path, open_gate = gate
    with spawned.make_executor(1) as executor:
        running = executor.submit(spawned.wait_for, path, 1)
        waiting = [executor.submit(spawned.double, x) for x in range(5)]
        assert [future.cancel() for future in waiting[1:]] == [True] * 4
        assert not running.cancel()
        assert running.running()
        open_gate()
        assert running.result() == 1
        assert waiting[0].result() == 0
        with pytest.raises(CancelledError):
            waiting[1].result()
        assert set(concurrent.futures.wait(waiting, timeout=60).done) == set(waiting)


def test_shutdown_can_cancel_what_has_not_begun(gate):
    path, open_gate = gate
    executor = spawned.make_executor(1)
    running = executor.submit(spawned.wait_for, path, 1)
    waiting = [executor.submit(spawned.double, x) for x in range(5)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    open_gate()
    assert running.result() == 1
    executor.shutdown()


def test_shutdown_finishes_what_was_submitted_and_then_refuses(executor):
    futures = [executor.submit(spawned.double, x) for x in range(100)]
    executor.shutdown(wait=False)
    with pytest.raises(ClosedError, match="after shutdown"):
        executor.submit(spawned.double, 1)
    assert [future.result() for future in futures] == [2 * x for x in range(100)]
    executor.shutdown()
    executor.shutdown()


def test_a_result_that_takes_too_long_is_a_timeout_and_comes_later(executor, gate):
    path, open_gate = gate
    future = executor.submit(spawned.wait_for, path, 5)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.05)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    open_gate()
    assert future.exception(60) is None
    assert future.result() == 5


def test_results_die_with_their_future(executor):
    future = executor.submit(set, [1])
    reference = weakref.ref(future.result())
    del future
    gc.collect()
    assert reference() is None


def test_arguments_die_with_their_task(executor):
    argument = {1}
    reference = weakref.ref(argument)
    future = executor.submit(len, argument)
    del argument
    assert future.result() == 1
    executor.submit(len, ()).result()
    gc.collect()
    assert reference() is None


def test_the_arguments_of_one_task_are_not_shared_with_the_next(executor):
    shared = []

    def append(items):
        items.append(1)
        return items

    futures = [executor.submit(append, shared) for _ in range(50)]
    assert [future.result() for future in futures] == [[1]] * 50


def test_a_function_that_has_changed_is_pickled_anew(executor):
    value = 1

    def read():
        return value

    first = executor.submit(read).result()
    value = 2
    assert (first, executor.submit(read).result()) == (1, 2)


def test_asyncio_can_wait_for_a_future(executor):
    async def main():
        return await asyncio.gather(*(asyncio.wrap_future(executor.submit(spawned.double, x)) for x in range(50)))

    assert asyncio.run(main()) == [2 * x for x in range(50)]


@pytest.mark.parametrize("rounds", [200])
def test_many_threads_may_submit_and_wait_at_once(executor, rounds):
    failures = []

    def use(base):
        try:
            for x in range(base, base + rounds):
                assert executor.submit(spawned.double, x).result(60) == 2 * x
            futures = [executor.submit(spawned.double, x) for x in range(base, base + rounds)]
            assert [future.result(60) for future in futures] == [2 * x for x in range(base, base + rounds)]
            assert list(executor.map(spawned.double, range(rounds))) == [2 * x for x in range(rounds)]
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=use, args=(1000 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
