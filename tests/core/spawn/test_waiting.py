"""Who waits for a future hears of it at once, whatever others do with futures and callbacks meanwhile."""

import concurrent.futures
import threading
from functools import partial

import pytest
import spawned


@pytest.fixture
def gate(tmp_path):
    """Return the path that a task waits for, and what opens it."""
    path = tmp_path / "open"
    yield str(path), path.touch
    path.touch()


def in_threads(*acts):
    """Run functions in threads of their own; return what they raised, and whether all have ended."""
    failures = []

    def run(act):
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - returned
            failures.append(error)

    threads = [threading.Thread(target=run, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    return failures, not any(thread.is_alive() for thread in threads)


def test_threads_may_wait_for_futures_of_several_pools_in_any_order():
    with spawned.make_executor(1) as one, spawned.make_executor(1) as other:

        def use(first, second):
            for _ in range(300):
                own = concurrent.futures.Future()
                futures = [first.submit(spawned.double, 1), own, second.submit(spawned.double, 2)]
                own.set_result(3)
                assert not concurrent.futures.wait(futures, timeout=60).not_done
                assert {future.result() for future in concurrent.futures.as_completed(futures)} == {2, 3, 4}

        assert in_threads(lambda: use(one, other), lambda: use(other, one)) == ([], True)


def test_several_threads_may_wait_for_the_same_futures():
    with spawned.make_executor() as executor:

        def use(futures):
            assert len(list(concurrent.futures.as_completed(futures, timeout=60))) == len(futures)
            assert not concurrent.futures.wait(futures, timeout=60).not_done

        for _ in range(20):
            futures = [executor.submit(spawned.double, x) for x in range(50)]
            assert in_threads(*[partial(use, futures)] * 3) == ([], True)


def test_an_answer_that_comes_while_a_future_is_held_is_there_once_it_is_let_go():
    with spawned.make_executor(1) as executor:
        future = executor.submit(spawned.double, 1)
        after = executor.submit(spawned.double, 2)
        with future._condition:  # as `concurrent.futures.wait` does
            concurrent.futures.wait([after], timeout=60)
            assert not future.done()
        assert future.done()
        assert future.result() == 2


def test_a_future_that_an_interrupt_left_held_can_be_waited_for_again():
    with spawned.make_executor(1) as executor:
        future = executor.submit(spawned.double, 1)
        future._condition.acquire()
        concurrent.futures.wait([executor.submit(spawned.double, 2)], timeout=60)
        assert future.result(60) == 2


def test_wait_hears_of_what_is_cancelled_with_its_pool(gate):
    path, open_gate = gate
    executor = spawned.make_executor(1)
    executor.submit(spawned.wait_for, path)
    waiting = [executor.submit(spawned.double, x) for x in range(5)]
    canceller = threading.Timer(0.05, lambda: executor.shutdown(wait=False, cancel_futures=True))
    canceller.start()
    assert not concurrent.futures.wait(waiting, timeout=60).not_done
    assert all(future.cancelled() for future in waiting)
    canceller.join()
    open_gate()
    executor.shutdown()


@pytest.mark.parametrize("way", ["leads", "follows"])
def test_cancelling_a_future_wakes_who_waits_for_it(gate, way):
    path, open_gate = gate
    cancelled = threading.Event()
    with spawned.make_executor(1) as executor:
        running = executor.submit(spawned.wait_for, path)
        waiting = [executor.submit(spawned.double, x) for x in range(2)]
        reader = executor.within._core.reader

        def wait():
            with pytest.raises(concurrent.futures.CancelledError):
                waiting[-1].result(60)
            cancelled.set()

        leader = threading.Thread(target=lambda: waiting[0].result(60))
        if way == "follows":
            leader.start()
            spawned.until(reader._polling.locked)
        waiter = threading.Thread(target=wait)
        waiter.start()
        spawned.until(lambda: waiting[-1].waited)
        assert waiting[-1].cancel()
        assert cancelled.wait(30)
        assert not running.done()
        open_gate()
        waiter.join()
        if way == "follows":
            leader.join()


def test_result_does_not_wait_for_callbacks_of_other_futures(gate):
    path, open_gate = gate
    called, go_on = threading.Event(), threading.Event()

    def call_back(_):
        called.set()
        go_on.wait(60)

    with spawned.make_executor(2) as executor:
        running = executor.submit(spawned.wait_for, path)
        other = executor.submit(spawned.double, 1)
        other.add_done_callback(call_back)
        while not called.is_set():
            with pytest.raises(TimeoutError):
                running.result(timeout=0.05)
        assert executor.submit(spawned.double, 2).result(60) == 4
        assert list(executor.map(spawned.double, range(5), timeout=60)) == [0, 2, 4, 6, 8]
        open_gate()
        assert running.result(60) is None
        go_on.set()


def test_callbacks_run_in_one_thread_and_in_order_whoever_reads_the_answers():
    threads, order = set(), []
    done = threading.Event()

    def call_back(future):
        threads.add(threading.get_ident())
        order.append(future.result())
        if len(order) == 100:
            done.set()

    with spawned.make_executor(1) as executor:
        for x in range(100):
            future = executor.submit(spawned.double, x)
            future.add_done_callback(call_back)
            assert future.result(60) == 2 * x
        assert done.wait(60)
    assert order == [2 * x for x in range(100)]
    assert len(threads - {threading.get_ident()}) == 1


def test_callbacks_of_what_shutdown_cancels_run_without_any_lock(gate):
    path, open_gate = gate
    executor = spawned.make_executor(1)
    running = executor.submit(spawned.wait_for, path)
    waiting = [executor.submit(spawned.double, x) for x in range(3)]
    called = threading.Event()

    def call_back(_):
        if in_threads(lambda: running.add_done_callback(print)) == ([], True):
            called.set()

    waiting[-1].add_done_callback(call_back)
    executor.shutdown(wait=False, cancel_futures=True)
    assert called.wait(60)
    open_gate()
    executor.shutdown()


def test_asking_again_and_again_leaves_nothing_in_the_future(gate):
    path, open_gate = gate
    with spawned.make_executor(1) as executor:
        running = executor.submit(spawned.wait_for, path)

        def poll():
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    running.result(timeout=0.002)

        assert in_threads(poll, poll) == ([], True)
        assert (running._done_callbacks, running._sleepers, running._waiters) == ([], (), [])
        assert not executor.within._core.reader._followers
        open_gate()


def test_a_base_exception_of_a_callback_costs_nobody_an_answer():
    def leave(_):
        raise SystemExit(3)

    with spawned.make_executor(1) as executor:
        future = executor.submit(spawned.double, 1)
        future.add_done_callback(leave)
        concurrent.futures.wait([future], timeout=60)
        later = executor.submit(spawned.double, 2)
        assert not concurrent.futures.wait([later], timeout=60).not_done


def test_waiting_for_a_result_costs_nothing_while_callbacks_of_others_wait(gate):
    path, open_gate = gate
    called, go_on = threading.Event(), threading.Event()

    def call_back(_):
        called.set()
        go_on.wait(60)

    with spawned.make_executor(2) as executor:
        running = executor.submit(spawned.wait_for, path)
        for _ in range(3):
            future = executor.submit(spawned.double, 1)
            future.add_done_callback(call_back)
            future.result(60)
        assert called.wait(60)
        polls = []
        reader = executor.within._core.reader
        pump = reader._pump
        reader._pump = lambda *arguments: polls.append(1) or pump(*arguments)
        with pytest.raises(TimeoutError):
            running.result(timeout=0.3)
        del reader._pump
        assert len(polls) < 20
        open_gate()
        go_on.set()
