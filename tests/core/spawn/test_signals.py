"""Handlers of signals may raise: they end the wait that they interrupt, and cost no answer."""

import concurrent.futures
import os
import signal
import threading

import pytest
import spawned


class LateError(Exception):
    pass


class LateExit(BaseException):
    pass


def interrupt_once_polled(reader):
    spawned.until(lambda: reader._led and reader._polling.locked())
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(params=[LateError, LateExit])
def late(request):
    def raise_it(*_):
        raise request.param

    before = signal.signal(signal.SIGALRM, raise_it)
    yield request.param
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_handler_that_raises_while_an_answer_is_loaded_costs_no_answer(late, tmp_path):
    path = str(tmp_path / "runs")
    with spawned.make_executor(1) as executor:
        executor.submit(spawned.double, 1).result(60)
        future = executor.submit(spawned.LoadsSlowly, path)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(late):
            future.result(60)
        assert not concurrent.futures.wait([future], timeout=60).not_done
        assert future.result().value == 7
    assert spawned.runs(path) == 1


def test_a_handler_that_raises_while_arguments_are_pickled_is_the_callers_and_costs_no_call(late):
    with spawned.make_executor(1) as executor:
        executor.submit(spawned.double, 1).result(60)
        before = executor.submit(spawned.double, 2)
        before.result(60)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(late):
            executor.submit(spawned.keep, spawned.PicklesSlowly())
        assert executor.submit(spawned.double, 3).result(60) == 6


def test_a_handler_that_raises_while_a_map_takes_in_the_calls_before_it_costs_no_call(late, tmp_path):
    gate = tmp_path / "gate"
    with spawned.make_executor(1) as executor:
        executor.submit(spawned.double, 1).result(60)
        running = executor.submit(spawned.wait_for, str(gate))
        spawned.until(running.running)
        while executor.within._core.dispatcher.hungry:
            executor.submit(spawned.double, 2)
        spawned.when_asked += [lambda: signal.raise_signal(signal.SIGALRM), gate.touch]  # the last one first
        call = executor.submit(spawned.Asked, 4)
        with pytest.raises(late):
            next(executor.map(spawned.double, [5]))
        assert call.result(60) == 8


def test_a_handler_that_is_set_while_the_main_thread_leads_costs_no_answer(late, tmp_path):
    path, gate = str(tmp_path / "runs"), str(tmp_path / "gate")
    handler = signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def set_handler(*_):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        spawned.note(gate)

    before = signal.signal(signal.SIGINT, set_handler)
    try:
        with spawned.make_executor(1) as executor:
            for x in range(5):  # so that the main thread leads
                executor.submit(spawned.double, x).result(60)
            future = executor.submit(spawned.load_slowly_after, gate, path)
            interrupter = threading.Thread(target=interrupt_once_polled, args=(executor.within._core.reader,))
            interrupter.start()
            with pytest.raises(late):
                future.result(60)
            interrupter.join()
            assert future.result(60).value == 7
    finally:
        signal.signal(signal.SIGINT, before)
    assert spawned.runs(path) == 1


def test_handlers_are_as_they_were_after_many_calls(late):
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)
    with spawned.make_executor(1) as executor:
        for x in range(50):
            assert executor.submit(spawned.double, x).result(60) == 2 * x
    assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)) == before
