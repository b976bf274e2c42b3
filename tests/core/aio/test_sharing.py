import asyncio
import gc
import os
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import corewise


class Exclusive:
    """A batch function that counts how many of its calls run at once, and yields to others in each."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = self.most = self.items = 0

    async def __call__(self, items):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.items += len(items)
        await asyncio.sleep(0)
        with self.lock:
            self.running -= 1
        return [-item for item in items]


class ExclusiveBlocking(Exclusive):
    def __call__(self, items):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.items += len(items)
        time.sleep(0)
        with self.lock:
            self.running -= 1
        return [-item for item in items]


def test_a_batcher_is_made_without_a_loop_and_serves_one_loop_after_the_other():
    batched = corewise.BatchedFunction(Exclusive())

    async def main():
        return await batched(1)

    assert [asyncio.run(main()) for _ in range(5)] == [-1] * 5


def test_submit_serves_threads_without_loop_and_their_requests_travel_together():
    sizes, entered, gate = [], threading.Event(), threading.Event()

    def function(items):
        sizes.append(len(items))
        entered.set()
        assert gate.wait(60)
        return items

    with_threads = corewise.BatchedFunction(function)
    first = with_threads.submit("first")
    assert entered.wait(60)
    futures = [with_threads.submit(i) for i in range(10)]
    gate.set()
    assert [future.result(60) for future in futures] == list(range(10))
    assert first.result() == "first"
    assert sizes == [1, 10]
    with_threads.close()


def test_a_submitted_item_that_is_cancelled_is_not_sent():
    seen, entered, gate = [], threading.Event(), threading.Event()

    def function(items):
        seen.extend(items)
        entered.set()
        assert gate.wait(60)
        return items

    batched = corewise.BatchedFunction(function)
    batched.submit(0)
    assert entered.wait(60)
    futures = [batched.submit(i) for i in range(1, 4)]
    assert futures[1].cancel()
    gate.set()
    assert [futures[0].result(60), futures[2].result(60)] == [1, 3]
    batched.close()
    assert seen == [0, 1, 3]


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("error", [ValueError("bad key"), StopIteration(), SystemExit()])
def test_a_key_that_raises_for_one_submitted_item_harms_no_other(error, leaves):
    entered, gate = threading.Event(), threading.Event()

    def key(item):
        if item == "slow":
            entered.set()
            assert gate.wait(60)
        if item == "bad":
            raise error
        return 0

    batched = corewise.BatchedFunction(lambda items: items, key=key)
    slow = batched.submit("slow")
    assert entered.wait(60)
    bad, good = batched.submit("bad"), batched.submit("good")
    if leaves:
        assert bad.cancel()
    gate.set()
    assert (slow.result(60), good.result(60)) == ("slow", "good")
    if not leaves:
        told = bad.exception(60)
        assert error in (told, told.__cause__)
    batched.close()


def test_submit_blocks_while_the_queue_is_full_and_closing_frees_who_is_blocked():
    entered, gate = threading.Event(), threading.Event()

    def function(items):
        entered.set()
        assert gate.wait(60)
        return items

    batched = corewise.BatchedFunction(function, max_queue=1)
    first = batched.submit(0)
    assert entered.wait(60)
    second = batched.submit(1)
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:

        def third():
            begun.set()
            return batched.submit(2)

        blocked = pool.submit(third)
        assert begun.wait(60)
        closer = threading.Thread(target=batched.close)
        closer.start()
        with pytest.raises(corewise.ClosedError):
            blocked.result(60)
        gate.set()
        closer.join(60)
    assert (first.result(60), second.result(60)) == (0, 1)


def test_submit_raises_where_the_queue_is_full_and_that_was_chosen():
    entered, gate = threading.Event(), threading.Event()

    def function(items):
        entered.set()
        assert gate.wait(60)
        return items

    batched = corewise.BatchedFunction(function, max_queue=1, overflow="raise")
    first = batched.submit(0)
    assert entered.wait(60)
    second = batched.submit(1)
    with pytest.raises(corewise.QueueFullError, match="max_queue=1"):
        batched.submit(2)
    gate.set()
    assert (first.result(60), second.result(60)) == (0, 1)
    batched.close()


@pytest.mark.parametrize("overflow", ["raise", "wait"])
def test_a_submitted_item_that_is_cancelled_makes_room(overflow):
    seen, entered, gate = [], threading.Event(), threading.Event()

    def function(items):
        seen.append(items)
        entered.set()
        assert gate.wait(60)
        return items

    batched = corewise.BatchedFunction(function, max_queue=2, overflow=overflow)
    first = batched.submit(0)
    assert entered.wait(60)
    for item in range(10):
        replies = [batched.submit(item), batched.submit(item)]
        assert all(reply.cancel() for reply in replies)
        assert all(reply.cancel() for reply in replies)
    last = [batched.submit(10), batched.submit(11)]
    gate.set()
    assert [reply.result(60) for reply in (first, *last)] == [0, 10, 11]
    batched.close()
    assert seen == [[0], [10, 11]]


def test_a_submitted_item_that_is_cancelled_lets_a_blocked_thread_in():
    entered, gate = threading.Event(), threading.Event()

    def function(items):
        entered.set()
        assert gate.wait(60)
        return items

    batched = corewise.BatchedFunction(function, max_queue=1)
    batched.submit(0)
    assert entered.wait(60)
    second = batched.submit(1)
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(batched.submit, 2)
        assert second.cancel()
        reply = third.result(60)
        gate.set()
        assert reply.result(60) == 2
    batched.close()


def test_an_interrupt_in_a_batch_of_threads_is_told_to_its_callers_and_the_next_batch_runs():
    def function(items):
        if "stop" in items:
            raise KeyboardInterrupt
        return items

    batched = corewise.BatchedFunction(function)
    with pytest.raises(corewise.BatchResultError, match="KeyboardInterrupt"):
        batched.submit("stop").result(60)
    assert batched.submit("fine").result(60) == "fine"
    batched.close()


def test_submit_within_its_own_batch_does_not_wait_for_it():
    def function(items):
        return [1 if item == 0 else item * batched.submit(item - 1).result(60) for item in items]

    batched = corewise.BatchedFunction(function)
    assert batched.submit(5).result(60) == 120
    batched.close()


def test_closing_ends_the_threads_of_a_batcher():
    before = set(threading.enumerate())
    batched = corewise.BatchedFunction(lambda items: items, name="closing")
    assert batched.submit(1).result(60) == 1
    ours = set(threading.enumerate()) - before
    assert len(ours) == 2
    batched.close()
    for thread in ours:
        thread.join(60)
        assert not thread.is_alive()


def test_a_forgotten_batcher_ends_its_threads():
    before = set(threading.enumerate())
    batched = corewise.BatchedFunction(lambda items: items, name="forgotten")
    assert batched.submit(1).result(60) == 1
    ours = set(threading.enumerate()) - before
    gone = weakref.ref(batched)
    del batched
    deadline = time.monotonic() + 60
    while any(thread.is_alive() for thread in ours) and time.monotonic() < deadline:
        gc.collect()  # again, for the loop's thread may still be ending the batch
        next(iter(ours)).join(0.01)
    assert gone() is None
    assert not any(thread.is_alive() for thread in ours)


@pytest.mark.parametrize("kind", [Exclusive, ExclusiveBlocking])
@pytest.mark.parametrize("options", [{}, {"max_batch_size": 3}, {"max_concurrency": 2}])
def test_several_loops_and_threads_share_a_batcher_and_its_max_concurrency(kind, options):
    function = kind()
    batched = corewise.BatchedFunction(function, **options)
    each = 300

    async def in_loop(worker):
        total = 0
        for start in range(0, each, 10):
            total += sum(await asyncio.gather(*(batched(start + i) for i in range(10))))
        return total

    def in_thread(worker):
        return sum(batched.submit(i).result(60) for i in range(each))

    def run(worker):
        return asyncio.run(in_loop(worker)) if worker % 2 else in_thread(worker)

    with ThreadPoolExecutor(6) as pool:
        totals = list(pool.map(run, range(6)))
    assert totals == [-sum(range(each))] * 6
    assert function.most <= options.get("max_concurrency", 1)
    assert function.items == 6 * each == batched.stats().items
    batched.close()


def test_a_busy_loop_does_not_starve_another_one():
    batched = corewise.BatchedFunction(Exclusive())
    done = threading.Event()

    async def busy():
        while not done.is_set():
            await asyncio.gather(*(batched(i) for i in range(10)))

    async def modest():
        for i in range(20):
            assert await batched(i) == -i

    greedy = threading.Thread(target=asyncio.run, args=(busy(),))
    greedy.start()
    try:
        asyncio.run(asyncio.wait_for(modest(), 60))
    finally:
        done.set()
        greedy.join(60)
    batched.close()


def test_aclose_in_one_loop_drains_the_others():
    entered, go = threading.Event(), threading.Event()

    def function(items):
        entered.set()
        assert go.wait(60)
        return items

    batched = corewise.BatchedFunction(function)

    async def caller():
        return await asyncio.gather(*(batched(i) for i in range(3)))

    with ThreadPoolExecutor(2) as pool:
        calling = pool.submit(asyncio.run, caller())
        assert entered.wait(60)
        closing = pool.submit(batched.close)
        go.set()
        closing.result(60)
        assert calling.result(60) == [0, 1, 2]


def test_closing_while_many_threads_submit_answers_or_refuses_every_one():
    for _ in range(20):
        batched = corewise.BatchedFunction(Exclusive(), max_queue=3)
        start = threading.Barrier(5)

        def submitter(batched=batched, start=start):
            answered = 0
            start.wait(60)
            try:
                for i in range(1000):
                    assert batched.submit(i).result(60) == -i
                    answered += 1
            except corewise.ClosedError:
                pass
            return answered

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(submitter) for _ in range(4)]
            start.wait(60)
            batched.close()
            for future in futures:
                future.result(60)


def test_first_calls_from_many_threads_at_once_make_one_lane_each():
    for _ in range(20):
        batched = corewise.BatchedFunction(Exclusive())
        start = threading.Barrier(4)

        async def caller(batched=batched, start=start):
            start.wait(60)
            return await asyncio.gather(*(batched(i) for i in range(20)))

        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(asyncio.run, caller()) for _ in range(4)]:
                assert future.result(60) == [-i for i in range(20)]
        batched.close()


def test_a_loop_class_of_another_making_serves():
    class ForeignLoop(asyncio.SelectorEventLoop):
        """Has a create_future of its own, as loops written elsewhere have."""

        made = 0

        def create_future(self):
            type(self).made += 1
            return super().create_future()

    batched = corewise.BatchedFunction(Exclusive())

    async def main():
        return await asyncio.gather(*(batched(i) for i in range(3)))

    with asyncio.Runner(loop_factory=ForeignLoop) as runner:
        assert runner.run(main()) == [0, -1, -2]
    assert ForeignLoop.made >= 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="context switches are read from /proc")
@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_an_idle_batcher_with_its_threads_wakes_up_for_nothing(seconds):
    def switches(thread):
        status = Path(f"/proc/{os.getpid()}/task/{thread.native_id}/status").read_text()
        return [int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line]

    before = set(threading.enumerate())
    batched = corewise.BatchedFunction(lambda items: items, max_delay=0.001, name="idle")
    assert batched.submit(1).result(60) == 1
    ours = set(threading.enumerate()) - before

    async def main():
        await batched(1)
        loop = asyncio.get_running_loop()
        assert not loop._scheduled or all(handle.cancelled() for handle in loop._scheduled)
        assert not loop._ready

    asyncio.run(main())
    ours |= set(threading.enumerate()) - before
    deadline = time.monotonic() + 60
    before, counts = None, [switches(thread) for thread in ours]
    while before != counts and time.monotonic() < deadline:  # the threads may still be on their way to sleep
        time.sleep(seconds)
        before, counts = counts, [switches(thread) for thread in ours]
    assert before == counts
    batched.close()
