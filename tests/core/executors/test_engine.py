import itertools
import threading
import traceback
from concurrent.futures import CancelledError, Future

import attrs
import pytest
from engines import USUAL_KINDS, make_executor, request_for, start_all_workers
from tasks import add, double, fail_on_multiples_of_three, leave, stop_on_two

from corewise.builtin.serial import SerialExecutor
from corewise.errors import ItemTimeoutError
from corewise.executors.chunks import ChunkOutcome
from corewise.executors.contract import ExecutorFactory
from corewise.executors.engine import start_map
from corewise.executors.facade import Executor
from corewise.executors.failure import Failure
from corewise.executors.feed import Feed
from corewise.executors.options import MapOptions

PARALLEL_THREADS = ["threads", "foreign_threads"]


@pytest.fixture(scope="module", autouse=True)
def processes():
    """Processes are slow to start: the tests of this module share them, and find them started."""
    with make_executor("foreign_processes") as made:
        start_all_workers(made)
        yield made


@pytest.fixture(params=USUAL_KINDS)
def executor(request):
    if request.param == "foreign_processes":
        yield request.getfixturevalue("processes")
    else:
        with make_executor(request.param) as made:
            yield made


@pytest.fixture(params=PARALLEL_THREADS)
def thread_executor(request):
    with make_executor(request.param) as made:
        yield made


class Counted:
    """An input that says how much of it was taken."""

    def __init__(self, items):
        self.items = iter(items)
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.items)
        self.taken += 1
        return item


def test_results_come_in_the_order_of_the_items(executor):
    assert list(executor.map(double, range(1000))) == [2 * x for x in range(1000)]


def test_unordered_results_are_all_there(executor):
    assert sorted(executor.map(double, range(1000), ordered=False)) == [2 * x for x in range(1000)]


def test_several_iterables_end_with_the_shortest(executor):
    assert list(executor.map(add, range(10), itertools.count(100))) == [100 + 2 * x for x in range(10)]


def test_no_items_give_no_results(executor):
    assert list(executor.map(double, [])) == []
    assert list(executor.map(double)) == []


def test_an_error_is_raised_in_its_turn_with_the_index_as_a_note(executor):
    results = executor.map(fail_on_multiples_of_three, range(1, 100))
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="bad 3") as caught:
        next(results)
    assert caught.value.__notes__ == ["map: item 2"]
    assert next(results, "ended") == "ended"


def test_the_traceback_of_the_item_is_told(executor):
    with pytest.raises(ValueError) as caught:
        list(executor.map(fail_on_multiples_of_three, [3]))
    text = "".join(traceback.format_exception(caught.value))
    assert "in fail_on_multiples_of_three" in text


def test_failures_are_returned_in_their_place(executor):
    results = list(executor.map(fail_on_multiples_of_three, range(7), on_error="return"))
    assert [r if not isinstance(r, Failure) else (r.index, str(r.error)) for r in results] == [
        (0, "bad 0"), 1, 2, (3, "bad 3"), 4, 5, (6, "bad 6"),
    ]  # fmt: skip


def test_failures_can_be_skipped(executor):
    assert list(executor.map(fail_on_multiples_of_three, range(7), on_error="skip")) == [1, 2, 4, 5]


def test_stop_iteration_of_an_item_loses_no_item_and_ends_no_loop(executor):
    results = list(executor.map(stop_on_two, range(5), on_error="return"))
    assert [type(r) for r in results] == [int, int, Failure, int, int]
    assert repr(results[2].error) == "Stop('two', 2)"
    assert "in stop_on_two" in "".join(traceback.format_exception(results[2].error))
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(executor.map(stop_on_two, range(5)))


def test_system_exit_of_an_item_is_that_items_failure(executor):
    [failure] = executor.map(leave, [3], on_error="return")
    assert isinstance(failure.error, SystemExit)


def test_an_error_of_the_input_comes_after_the_results_before_it(executor):
    def items():
        yield from range(5)
        raise OSError("input is gone")

    results = executor.map(double, items())
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    with pytest.raises(OSError, match="input is gone"):
        next(results)


def test_an_endless_input_is_taken_only_as_far_as_it_is_needed(executor):
    source = Counted(itertools.count())
    results = executor.map(double, source, buffersize=20)
    for taken in range(1, 200):
        assert next(results) == 2 * (taken - 1)
        assert source.taken <= taken + 20
    results.close()


def test_lambdas_and_closures_run_everywhere(executor):
    step = 10
    assert list(executor.map(lambda x: x + step, range(3))) == [10, 11, 12]


def test_submit_gives_a_future_with_result_or_error(executor):
    assert executor.submit(add, 1, y=2).result(timeout=60) == 3
    with pytest.raises(ValueError, match="bad 3"):
        executor.submit(fail_on_multiples_of_three, 3).result(timeout=60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunksize": 0}, "map: chunksize: must be at least 1, got 0"),
        ({"buffersize": -1}, "map: buffersize: must be at least 1, got -1"),
        ({"retries": -1}, "map: retries: must be at least 0, got -1"),
        ({"on_error": "explode"}, "map: on_error: allowed are 'raise', 'return' and 'skip', got 'explode'"),
        ({"item_timeout": 0}, "map: item_timeout: must be a positive number of seconds, got 0"),
        ({"timeout": -1}, "map: timeout: must be a positive number of seconds, got -1"),
        ({"chunksize": 1.5}, "map: chunksize: must be an integer, got 1.5"),
        ({"chunksize": True}, "map: chunksize: must be an integer, got True"),
        ({"timeout": "1"}, "map: timeout: must be a number of seconds, got '1'"),
    ],
)
def test_a_bad_option_is_told_at_once_by_name_and_value(executor, options, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        executor.map(double, [1], **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("seconds", [1e12, float("inf")])
def test_more_seconds_than_can_be_waited_are_no_limit(executor, seconds):
    assert list(executor.map(double, range(3), timeout=seconds, item_timeout=seconds)) == [0, 2, 4]


def test_what_cannot_be_iterated_is_told_at_the_call(executor):
    with pytest.raises(TypeError, match="not iterable"):
        executor.map(double, 5)


@pytest.mark.parametrize("kind", USUAL_KINDS)
def test_map_after_shutdown_is_an_error_at_the_latest_with_the_first_result(kind):
    executor = make_executor(kind)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        next(executor.map(double, range(3)))


def test_a_slow_head_holds_no_more_than_the_buffer(thread_executor):
    release = threading.Event()
    seen = threading.Semaphore(0)

    def work(x):
        if x == 0:
            assert release.wait(60)
        seen.release()
        return x

    source = Counted(range(10_000))
    results = thread_executor.map(work, source, buffersize=50)
    consumer = threading.Thread(target=next, args=(results,))
    consumer.start()
    # The other worker gets everything that the buffer admits; item 0 blocks the rest.
    for _ in range(20):
        assert seen.acquire(timeout=60)
    assert source.taken <= 50
    release.set()
    consumer.join(60)
    assert next(results) == 1
    assert list(results) == list(range(2, 10_000))


def test_unordered_results_pass_a_slow_head(thread_executor):
    release = threading.Event()

    def work(x):
        if x == 0:
            assert release.wait(60)
        return x

    results = thread_executor.map(work, range(40), ordered=False, chunksize=1)
    early = [next(results) for _ in range(39)]
    release.set()
    assert sorted(early) == list(range(1, 40))
    assert list(results) == [0]


def test_closing_withdraws_what_has_not_begun(thread_executor):
    release = threading.Event()
    begun = threading.Semaphore(0)
    ran = []

    def work(x):
        begun.release()
        assert release.wait(60)
        ran.append(x)

    results = thread_executor.map(work, range(100), chunksize=10)
    for _ in range(2):
        assert begun.acquire(timeout=60)
    results.close()
    release.set()
    thread_executor.shutdown(wait=True)
    limit = 2 if thread_executor.name == "threads" else 20
    assert len(ran) <= limit


def test_dropping_the_iterator_withdraws_what_has_not_begun(thread_executor):
    release = threading.Event()
    begun = threading.Semaphore(0)
    ran = []

    def work(x):
        begun.release()
        assert release.wait(60)
        ran.append(x)

    results = thread_executor.map(work, range(100), chunksize=1)
    for _ in range(2):
        assert begun.acquire(timeout=60)
    del results
    release.set()
    thread_executor.shutdown(wait=True)
    assert len(ran) <= 2


@pytest.mark.parametrize("ordered", [True, False])
def test_failed_items_are_tried_again(thread_executor, ordered):
    attempts = dict.fromkeys(range(30), 0)

    def work(x):
        attempts[x] += 1
        if attempts[x] <= x % 3:
            raise ValueError(x)
        return x

    results = list(thread_executor.map(work, range(30), retries=2, ordered=ordered))
    assert sorted(results) == list(range(30))
    if ordered:
        assert results == list(range(30))
    assert attempts == {x: x % 3 + 1 for x in range(30)}


def test_an_item_that_fails_too_often_is_tried_retries_plus_one_times(thread_executor):
    calls = []

    def work(x):
        calls.append(x)
        raise ValueError(x)

    with pytest.raises(ValueError, match="7"):
        list(thread_executor.map(work, [7], retries=3))
    assert calls == [7] * 4


@pytest.mark.parametrize("kind", ["serial", "threads", "foreign_threads"])
def test_a_timeout_ends_that_item_alone(kind):
    release = threading.Event()

    def work(x):
        if x == 3:
            release.wait(60)
        return x

    with make_executor(kind) as executor:
        results = list(executor.map(work, range(8), item_timeout=0.3, on_error="return"))
        release.set()
    assert [r for r in results if not isinstance(r, Failure)] == [0, 1, 2, 4, 5, 6, 7]
    assert isinstance(results[3], Failure)
    assert isinstance(results[3].error, ItemTimeoutError)


def test_the_clock_of_an_item_does_not_count_the_start_of_its_worker():
    with make_executor("slow_processes") as executor:
        assert list(executor.map(double, range(4), item_timeout=1)) == [0, 2, 4, 6]


def test_every_worker_can_be_stuck_and_the_map_still_ends():
    release = threading.Event()

    def work(x):
        if x < 4:
            release.wait(60)
        return x

    with make_executor("threads") as executor:
        results = list(executor.map(work, range(8), item_timeout=0.2, on_error="skip"))
        release.set()
    assert results == [4, 5, 6, 7]


def test_timeout_counts_from_the_call(thread_executor):
    release = threading.Event()

    def work(x):
        release.wait(60)
        return x

    with pytest.raises(TimeoutError, match=r"map: not done after timeout=0.1 seconds"):
        list(thread_executor.map(work, range(2), timeout=0.1))
    release.set()


def test_cancelling_at_shutdown_reaches_the_consumer(thread_executor):
    release = threading.Event()
    begun = threading.Semaphore(0)

    def work(x):
        begun.release()
        assert release.wait(60)
        return x

    results = thread_executor.map(work, range(4), chunksize=1)
    for _ in range(2):
        assert begun.acquire(timeout=60)
    thread_executor.shutdown(wait=False, cancel_futures=True)
    release.set()
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(CancelledError):
        next(results)


def test_a_caller_who_runs_the_tasks_himself_does_not_become_a_worker():
    started = []
    factory = ExecutorFactory(name="mine", create=lambda _: SerialExecutor(), in_caller=True, shares_memory=True)
    request = attrs.evolve(request_for(factory, 1), start_worker=started.append)
    with Executor(factory, request, factory.create(request)) as executor:
        assert executor.submit(double, 2).result() == 4
        assert list(executor.map(double, [1])) == [2]
    assert started == []


class AnsweredByHand:
    """Runs chunks whose answers the test gives, in the order that it chooses, until it is closed."""

    times_items = False

    def __init__(self):
        self.futures = []
        self.closed = False

    def prepare(self, fn):
        return fn

    def submit_chunk(self, prepared, chunk):
        if self.closed:
            raise RuntimeError("it was closed")
        self.futures.append(Future())
        return self.futures[-1]

    def end_chunk(self, future):
        future.cancel()

    def give_up(self, future):
        return True

    def release(self, prepared):
        pass


@pytest.mark.parametrize("ordered", [True, False])
def test_a_map_whose_executor_ends_never_ends_silently_whatever_was_to_be_tried_again(ordered):
    executor = AnsweredByHand()
    results = start_map(executor, 2, double, (range(2),), MapOptions(chunksize=1, retries=1, ordered=ordered))
    executor.closed = True
    for position in (1, 0):
        executor.futures[position].set_result(ChunkOutcome([None], {0: ValueError(position)}, 0.0))
    with pytest.raises(RuntimeError, match="it was closed"):
        next(results)


@pytest.fixture(params=[1, None])
def buffersize(request):
    return request.param


@pytest.mark.parametrize("ordered", [True, False])
def test_a_slow_input_gives_its_results_before_it_is_asked_again(thread_executor, clock, ordered, buffersize):
    taken = []

    def items():
        for x in range(5):
            if x:
                # The result of an earlier item must have been given out before this one is waited for.
                assert given.acquire(timeout=60)
            clock.advance(60)
            yield x

    given = threading.Semaphore(0)
    for result in thread_executor.map(double, items(), ordered=ordered, buffersize=buffersize):
        taken.append(result)
        given.release()
    assert taken == [0, 2, 4, 6, 8]


@pytest.fixture
def clock(monkeypatch):
    """The clock by which an input is slow or not, and results of a slow input may be about to come."""

    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

        def advance(self, seconds):
            self.now += seconds

    made = Clock()
    monkeypatch.setattr("corewise.executors.feed.monotonic", made)
    monkeypatch.setattr("corewise.executors.engine.SHARE_OF_PATIENCE", float("inf"))
    monkeypatch.setattr("corewise.executors.engine.PATIENCE_SECONDS", 60.0)
    return made


def test_the_call_itself_waits_for_no_more_than_the_first_item_of_a_slow_input(thread_executor, clock):
    def items():
        for x in range(3):
            clock.advance(60)
            yield x

    source = Counted(items())
    results = thread_executor.map(double, source)
    assert source.taken == 1
    assert list(results) == [0, 2, 4]


def chunks_of(items, size):
    """Return the chunks in which the items come, where chunks of ``size`` would be sent."""
    feed = Feed((items,), 1, MapOptions(chunksize=size), 1.0)
    while chunk := feed.take(0):
        yield chunk


@pytest.mark.parametrize("items", [[1, 2, 3], iter([1, 2, 3])])
def test_nothing_is_taken_where_more_is_held_than_may_be_because_results_turned_out_large(items):
    feed = Feed((items,), 1, MapOptions(buffersize=2), 1.0)
    assert feed.take(5) == []
    assert (feed.ended, feed.error) == (False, None)
    assert feed.take(0) == [1]


def test_an_input_that_pauses_after_a_burst_keeps_no_more_than_one_item_from_its_workers(clock):
    def items():
        for x in range(1000):
            if x >= 500:
                clock.advance(1)
            yield x

    sizes = [len(chunk) for chunk in chunks_of(items(), 128)]
    assert sizes == [128] * 3 + [117] + [1] * 499


def test_chunks_grow_again_where_an_input_pauses_no_more(clock):
    def items():
        for x in range(500):
            if x == 100:
                clock.advance(1)
            yield x

    sizes = [len(chunk) for chunk in chunks_of(items(), 256)]
    assert sizes == [101, 1, 4, 16, 64, 256, 58]


def test_an_executor_that_was_shut_down_says_so_at_the_call(executor_kind):
    made = make_executor(executor_kind)
    made.shutdown()
    with pytest.raises(RuntimeError, match=r"after shutdown|shut down|closed"):
        made.map(double, [1])


@pytest.fixture(params=["serial", "threads", "foreign_threads", "spawn"])
def executor_kind(request):
    return request.param


def test_maps_of_one_executor_do_not_disturb_each_other(executor):
    first, second = executor.map(double, range(500)), executor.map(abs, range(0, -500, -1))
    assert list(zip(first, second, strict=True)) == [(2 * x, x) for x in range(500)]


def test_the_time_of_a_serial_map_counts_from_the_call_and_a_late_result_is_too_late(monkeypatch):
    now = iter([0.0, 0.5, 0.6, 0.7, 1.5])
    monkeypatch.setattr("corewise.executors.inline.monotonic", lambda: next(now))
    with make_executor("serial") as executor:
        results = executor.map(double, [1, 2], timeout=1)
        assert next(results) == 2
        with pytest.raises(TimeoutError, match="not done after timeout=1 seconds"):
            next(results)
