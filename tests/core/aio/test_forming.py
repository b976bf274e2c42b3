import asyncio
import contextvars
import threading
import tracemalloc

import numpy as np
import pytest

import corewise


class Gated:
    """A batch function that notes its batches and waits at a gate in each."""

    def __init__(self):
        self.batches = []
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.running = self.most_running = 0

    async def __call__(self, items):
        self.batches.append(list(items))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.entered.set()
        await self.gate.wait()
        self.running -= 1
        return items


class Noting:
    """A batch function that notes its batches."""

    def __init__(self):
        self.batches = []

    async def __call__(self, items):
        self.batches.append(list(items))
        return [item * 2 for item in items]


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def test_requests_of_one_turn_travel_together():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function)
        assert await asyncio.gather(*(batched(i) for i in range(1000))) == [2 * i for i in range(1000)]
        assert function.batches == [list(range(1000))]

    asyncio.run(main())


def test_requests_made_while_a_batch_runs_form_the_next_one():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        first = batched(0)
        await function.entered.wait()
        rest = []
        for i in range(1, 6):
            rest.append(batched(i))
            await turns(1)
        assert function.batches == [[0]]
        function.gate.set()
        assert await asyncio.gather(first, *rest) == list(range(6))
        assert function.batches == [[0], [1, 2, 3, 4, 5]]

    asyncio.run(main())


def test_at_most_max_concurrency_batches_run_at_once():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function, max_concurrency=3)
        replies = []
        for i in range(10):
            replies.append(batched(i))
            await turns()
        assert function.batches == [[0], [1], [2]]
        function.gate.set()
        assert await asyncio.gather(*replies) == list(range(10))
        assert function.most_running == 3

    asyncio.run(main())


def test_twenty_thousand_waiting_requests_keep_to_max_batch_size():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, max_batch_size=64)
        assert await asyncio.gather(*(batched(i) for i in range(20_000))) == [2 * i for i in range(20_000)]
        assert max(map(len, function.batches)) == 64
        assert sum(function.batches, []) == list(range(20_000))  # noqa: RUF017 - 313 lists

    asyncio.run(main())


def test_a_hundred_thousand_requests_at_once_with_max_queue_are_all_answered():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, max_queue=1000, max_batch_size=500)
        replies = [batched(i) for i in range(100_000)]
        assert (batched.stats().queued, batched.stats().blocked) == (1000, 99_000)
        assert await asyncio.gather(*replies) == [2 * i for i in range(100_000)]
        assert (batched.stats().queued, batched.stats().blocked) == (0, 0)

    asyncio.run(main())


def test_a_request_that_waits_takes_less_than_a_kibibyte_with_its_future():
    requests = 20_000
    numbers = list(range(requests))

    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        first = batched(-1)
        await function.entered.wait()
        tracemalloc.start()
        try:
            replies = [batched(number) for number in numbers]
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        function.gate.set()
        assert await asyncio.gather(first, *replies) == [-1, *numbers]
        return taken

    assert asyncio.run(main()) < 1024 * requests


def test_a_full_queue_raises_where_that_was_chosen_and_has_room_again_after_a_cancellation():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function, max_queue=2, overflow="raise")
        first = batched(0)
        await function.entered.wait()
        waiting = [batched(1), batched(2)]
        with pytest.raises(corewise.QueueFullError, match="max_queue=2"):
            await batched(3)
        await turns()
        waiting[0].cancel()
        fourth = batched(4)
        function.gate.set()
        assert await asyncio.gather(first, waiting[1], fourth) == [0, 2, 4]

    asyncio.run(main())


def test_weights_bound_a_batch_and_a_heavier_item_travels_alone():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, weight=lambda item: item, max_weight=10)
        await asyncio.gather(*(batched(i) for i in (4, 4, 4, 25, 1, 9, 1)))
        assert function.batches == [[4, 4], [4], [25], [1, 9], [1]]

    asyncio.run(main())


def test_items_share_a_batch_only_with_equal_keys_and_the_oldest_goes_first():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, key=lambda item: item % 3, max_batch_size=2)
        assert await asyncio.gather(*(batched(i) for i in range(9))) == [2 * i for i in range(9)]
        assert function.batches == [[0, 3], [1, 4], [2, 5], [6], [7], [8]]

    asyncio.run(main())


def test_a_key_that_raises_stop_iteration_fails_its_item_alone():
    def key(item):
        return next(iter(item))

    async def main():
        batched = corewise.BatchedFunction(Noting(), key=key)
        bad, good = batched(""), batched("a")
        with pytest.raises(corewise.BatchResultError, match="StopIteration"):
            await bad
        assert await good == "aa"

    asyncio.run(main())


def test_a_key_is_asked_for_once_per_item_also_where_callers_leave_a_full_queue():
    asked = []

    def key(item):
        asked.append(item)
        return item % 2

    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function, key=key, max_batch_size=2, max_queue=5, overflow="raise")
        replies = [batched(0)]
        await function.entered.wait()
        waiting = {item: batched(item) for item in range(1, 6)}
        for item in (2, 5):
            waiting.pop(item).cancel()
        waiting.update((item, batched(item)) for item in (6, 7))
        function.gate.set()
        assert await asyncio.gather(*replies, *waiting.values()) == [0, 1, 3, 4, 6, 7]
        assert function.batches == [[0], [1, 3], [4, 6], [7]]

    asyncio.run(main())
    assert asked == list(range(8))


def test_ten_thousand_keys_are_served_in_order_of_arrival():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, key=lambda item: item)
        await asyncio.gather(*(batched(i) for i in range(10_000)))
        assert function.batches == [[i] for i in range(10_000)]

    asyncio.run(main())


@pytest.mark.parametrize("options", [{"weight": len, "max_weight": 3}, {"key": len}])
def test_what_weight_or_key_raise_is_their_callers_alone(options):
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, **options)
        results = await asyncio.gather(batched("a"), batched(1), batched("b"), return_exceptions=True)
        assert isinstance(results.pop(1), TypeError)
        assert results == ["aa", "bb"]

    asyncio.run(main())


def test_with_max_delay_requests_of_later_turns_join():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, max_delay=30.0, max_batch_size=3)
        replies = []
        for i in range(3):
            replies.append(batched(i))
            await turns()
        await asyncio.gather(*replies)
        assert function.batches == [[0, 1, 2]]

    asyncio.run(main())


def test_with_max_delay_a_batch_leaves_when_its_oldest_item_has_waited_that_long():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, max_delay=0.02)
        assert await batched(1) == 2
        assert batched.stats().waited_max >= 0.02

    asyncio.run(main())


def test_with_max_delay_keyed_items_leave_when_their_line_is_full_or_due():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function, max_delay=0.05, max_batch_size=2, key=lambda item: item % 2)
        early = batched(1)
        pairs = [batched(2), batched(4)]
        await asyncio.gather(*pairs)
        assert function.batches == [[2, 4]]
        await early
        assert function.batches == [[2, 4], [1]]

    asyncio.run(main())


class Tenants:
    """A batch function that notes whose context each batch runs in, and what the batches before have left there."""

    tenant = contextvars.ContextVar("tenant", default=None)
    before = contextvars.ContextVar("before", default=None)

    def __init__(self):
        self.seen = []

    async def __call__(self, items):
        self.seen.append((self.tenant.get(), items, self.before.get()))
        self.before.set(items)
        return items

    async def call(self, batched, tenant, item):
        self.tenant.set(tenant)
        return await batched(item)


def test_a_keyed_batch_runs_in_the_context_of_its_own_first_caller():
    async def main():
        tenants = Tenants()
        batched = corewise.BatchedFunction(tenants, key=lambda item: item[0], max_batch_size=2, max_delay=0.05)
        calls = [("a", "a1"), ("b", "b1"), ("b", "b2")]
        async with asyncio.TaskGroup() as group:
            for tenant, item in calls:
                group.create_task(tenants.call(batched, tenant, item))
        assert tenants.seen == [("b", ["b1", "b2"], None), ("a", ["a1"], None)]

    asyncio.run(main())


@pytest.mark.parametrize("options", [{"max_batch_size": 2}, {"overflow": "raise", "max_queue": 9}, {"key": bool}])
def test_a_batch_runs_in_the_context_of_the_first_caller_who_is_still_there(options):
    async def main():
        tenants = Tenants()
        batched = corewise.BatchedFunction(tenants, **options)
        gone = asyncio.create_task(tenants.call(batched, "gone", 1))
        there = asyncio.create_task(tenants.call(batched, "there", 2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await there == 2
        assert tenants.seen == [("there", [2], None)]

    asyncio.run(main())


def test_a_batch_that_moves_to_another_context_may_be_stopped_there():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function, key=lambda item: item[0], max_batch_size=2, max_delay=30.0)
        waiting = batched("a1")
        replies = [batched("b1"), batched("b2")]
        await function.entered.wait()
        for reply in replies:
            reply.cancel()
        await asyncio.wait_for(batched.aclose(drain=False), 30)
        assert isinstance(waiting.exception(), corewise.ClosedError)
        assert batched.stats().running == 0

    asyncio.run(main())


def test_a_lone_caller_for_whom_waiting_never_paid_rarely_waits():
    async def main():
        batched = corewise.BatchedFunction(Noting(), max_delay=0.02)
        delayed = 0
        for i in range(64):
            before = batched.stats().waited_mean * batched.stats().batches
            await batched(i)
            delayed += batched.stats().waited_mean * batched.stats().batches - before >= 0.02
        assert delayed <= 16  # 6 by the rule; a busy machine adds some

    asyncio.run(main())


def test_max_delay_0_sets_no_timer():
    async def main():
        loop = asyncio.get_running_loop()
        timers = []
        loop.call_later = lambda *args, **kwargs: timers.append(args)
        loop.call_at = loop.call_later
        batched = corewise.BatchedFunction(Noting(), max_batch_size=3)
        await asyncio.gather(*(batched(i) for i in range(100)))
        await batched.aclose()
        assert timers == []

    asyncio.run(main())


def test_an_idle_batcher_has_no_task():
    async def main():
        batched = corewise.BatchedFunction(Noting())
        await batched(1)
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_the_batch_method_sees_the_context_variables_of_the_first_caller():
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    async def function(items):
        seen.append(variable.get())
        return items

    def blocking(items):
        seen.append(variable.get())
        return items

    async def caller(batched, name):
        variable.set(name)
        await batched(name)

    async def main():
        for subject in (function, blocking):
            for options in ({}, {"max_batch_size": 1}):
                seen.clear()
                batched = corewise.BatchedFunction(subject, **options)
                await asyncio.gather(caller(batched, "first"), caller(batched, "second"))
                assert seen == (["first", "second"] if options else ["first"])
                await batched.aclose()

    asyncio.run(main())


def test_the_context_of_the_first_caller_also_holds_for_what_gathered_behind_a_batch():
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []
    gate = asyncio.Event()

    async def function(items):
        seen.append(variable.get())
        await gate.wait()
        return items

    async def caller(batched, name):
        variable.set(name)
        await batched(name)

    async def main():
        batched = corewise.BatchedFunction(function)
        tasks = []
        for name in ("a", "b", "c"):
            tasks.append(asyncio.create_task(caller(batched, name)))
            await turns()
        gate.set()
        await asyncio.gather(*tasks)
        assert seen == ["a", "b"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ((1, 2, 3), [1, 2, 3]),
        (iter([1, 2, 3]), [1, 2, 3]),
        ((number for number in (1, 2, 3)), [1, 2, 3]),
        (map(int, "123"), [1, 2, 3]),
        (range(1, 4), [1, 2, 3]),
        ({1: "a", 2: "b", 3: "c"}.keys(), None),
    ],
)
def test_lists_tuples_and_iterators_are_results(results, expected):
    async def function(items):
        return results

    async def main():
        batched = corewise.BatchedFunction(function)
        answers = await asyncio.gather(*(batched(i) for i in range(3)), return_exceptions=True)
        if expected is None:
            assert all(isinstance(answer, corewise.BatchResultError) for answer in answers)
        else:
            assert answers == expected

    asyncio.run(main())


def test_numpy_results_keep_their_dtype():
    async def function(items):
        return np.arange(len(items), dtype=np.float32)

    async def main():
        batched = corewise.BatchedFunction(function)
        first, second = await asyncio.gather(batched(0), batched(0))
        assert type(first) is type(second) is np.float32
        assert (first, second) == (0, 1)

    asyncio.run(main())


def test_rows_of_an_array_are_results():
    async def function(items):
        return np.ones((len(items), 4)) * np.asarray(items)[:, None]

    async def main():
        batched = corewise.BatchedFunction(function)
        rows = await asyncio.gather(batched(2), batched(3))
        assert [row.tolist() for row in rows] == [[2] * 4, [3] * 4]

    asyncio.run(main())


def test_asynchronous_generators_and_functions_that_hide_their_being_asynchronous_serve():
    async def generator(items):
        for item in items:
            yield item + 1

    async def function(items):
        return [item + 1 for item in items]

    async def main():
        for subject in (generator, function, lambda items: function(list(items))):
            async with corewise.BatchedFunction(subject) as batched:
                assert await asyncio.gather(batched(1), batched(2)) == [2, 3]

    asyncio.run(main())


def test_a_blocking_function_leaves_the_loop_free():
    import threading

    go, threads = threading.Event(), []

    def blocking(items):
        threads.append(threading.current_thread())
        assert go.wait(60)
        return items

    async def main():
        async with corewise.BatchedFunction(blocking) as batched:
            reply = batched(1)
            await turns(50)
            assert not reply.done()
            go.set()
            assert await reply == 1
        assert threading.current_thread() not in threads

    asyncio.run(main())


class Leaving:
    """A batch function whose first batch leaves a task behind, which calls it three times once it may."""

    def __init__(self):
        self.batched = corewise.BatchedFunction(self, max_batch_size=1)
        self.may = asyncio.Event()
        self.left = None
        self.running = self.most_running = 0

    async def __call__(self, items):
        self.left = self.left or asyncio.create_task(self.call())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return items

    async def call(self):
        await self.may.wait()
        return await asyncio.gather(*(self.batched(i) for i in range(3)), return_exceptions=True)


def test_what_an_ended_batch_has_left_behind_keeps_to_max_concurrency():
    async def main():
        leaving = Leaving()
        await leaving.batched("first")
        leaving.may.set()
        assert await leaving.left == [0, 1, 2]
        assert leaving.most_running == 1

    asyncio.run(main())


def test_what_an_ended_batch_has_left_behind_is_refused_after_closing():
    async def main():
        leaving = Leaving()
        await leaving.batched("first")
        await leaving.batched.aclose()
        leaving.may.set()
        assert [type(error) for error in await leaving.left] == [corewise.ClosedError] * 3

    asyncio.run(main())


def test_a_call_within_its_own_batch_does_not_wait_for_it():
    calls = []

    @corewise.batched
    async def factorial(numbers):
        calls.append(numbers)
        return [1 if number == 0 else number * await factorial(number - 1) for number in numbers]

    assert asyncio.run(factorial.call(5)) == 120
    assert calls == [[5], [4], [3], [2], [1], [0]]


@pytest.mark.parametrize("options", [{}, {"max_batch_size": 8}, {"key": bool, "max_delay": 0.001}])
@pytest.mark.parametrize("order", ["ab", "ba", "bba", "aab"])
def test_two_functions_that_call_each_other_may_share_batches_with_outside_callers(order, options):
    async def main():
        async def from_a(items):
            return [0 if item == 0 else 1 + await functions["b"](item - 1) for item in items]

        async def from_b(items):
            return [0 if item == 0 else 1 + await functions["a"](item - 1) for item in items]

        functions = {
            "a": corewise.BatchedFunction(from_a, **options),
            "b": corewise.BatchedFunction(from_b, **options),
        }
        for turn in range(4):
            replies = []
            for name in order:
                replies.append(functions[name](5))
                await turns(turn)
            assert await asyncio.wait_for(asyncio.gather(*replies), 30) == [5] * len(order)

    asyncio.run(main())


def test_two_blocking_functions_that_call_each_other_may_share_batches_with_outside_callers():
    def from_a(items):
        replies = [functions["b"].submit(item) for item in items]
        joined.set()
        return [reply.result(60) for reply in replies]

    def from_b(items):
        if items == ["first"]:
            entered.set()
            assert joined.wait(60)
            return items
        return [functions["a"].submit(item - 1).result(60) if item else item for item in items]

    entered, joined = threading.Event(), threading.Event()
    functions = {"a": corewise.BatchedFunction(from_a), "b": corewise.BatchedFunction(from_b)}
    first = functions["b"].submit("first")
    assert entered.wait(60)
    outside = functions["b"].submit(0)  # opens the batch that the nested call joins
    nested = functions["a"].submit(3)
    assert (first.result(60), outside.result(60), nested.result(60)) == ("first", 0, 0)
    for function in functions.values():
        function.close()


def test_call_gives_a_coroutine_for_task_groups():
    async def main():
        function = Noting()
        batched = corewise.BatchedFunction(function)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(batched.call(i)) for i in range(3)]
        assert [task.result() for task in tasks] == [0, 2, 4]
        assert function.batches == [[0, 1, 2]]

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with Python 3.12")
def test_an_eager_task_factory_changes_nothing():
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        function = Noting()
        batched = corewise.BatchedFunction(function)
        assert await asyncio.gather(*(batched(i) for i in range(100))) == [2 * i for i in range(100)]
        assert function.batches == [list(range(100))]
        small = corewise.BatchedFunction(Noting(), max_batch_size=1)
        assert await asyncio.gather(*(small(i) for i in range(5000))) == [2 * i for i in range(5000)]
        await small.aclose()

    asyncio.run(main())


def test_stats_and_reports_tell_what_happened():
    reports = []

    async def function(items):
        if "bad" in items:
            raise ValueError("bad")
        return items

    async def main():
        batched = corewise.BatchedFunction(function, on_batch=reports.append)
        await asyncio.gather(*(batched(item) for item in ("a", "bad", "b", "c")), return_exceptions=True)
        await batched("d")
        stats = batched.stats()
        assert (stats.batches, stats.items, stats.calls, stats.failed) == (2, 5, 6, 1)
        assert stats.sizes == {1: 1, 4: 1}
        assert (stats.queued, stats.blocked, stats.running) == (0, 0, 0)
        assert 0 <= stats.waited_mean <= stats.waited_max
        assert [(report.name, report.size, report.calls, report.failed) for report in reports] == [
            ("function", 4, 5, 1),
            ("function", 1, 1, 0),
        ]
        assert all(report.duration >= 0 and report.waited >= 0 for report in reports)

    asyncio.run(main())


def test_an_observer_that_raises_is_reported_to_the_loop_and_harms_nobody():
    def observe(report):
        raise ZeroDivisionError

    async def main():
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        batched = corewise.BatchedFunction(Noting(), on_batch=observe)
        assert await batched(1) == 2
        assert [type(problem["exception"]) for problem in problems] == [ZeroDivisionError]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be an integer of at least 1 or None, got 0"),
        ({"max_batch_size": True}, "got True"),
        ({"max_concurrency": 0}, "max_concurrency must be an integer of at least 1, got 0"),
        ({"max_delay": -1}, "max_delay must be a finite number of seconds, 0 or more, got -1"),
        ({"max_delay": float("inf")}, "got inf"),
        ({"max_queue": 0}, "max_queue must be an integer of at least 1 or None, got 0"),
        ({"overflow": "drop"}, "overflow must be 'wait' or 'raise', got 'drop'"),
        ({"on_error": "ignore"}, "on_error must be 'isolate' or 'fail', got 'ignore'"),
        ({"weight": len}, "weight and max_weight need each other"),
        ({"max_weight": 3}, "weight and max_weight need each other"),
        ({"weight": len, "max_weight": 0}, "max_weight must be positive or None, got 0"),
    ],
)
def test_an_option_out_of_its_range_is_an_error_that_names_it(options, message):
    with pytest.raises(ValueError) as caught:
        corewise.BatchedFunction(Noting(), **options)
    assert message in str(caught.value)


def test_the_typed_keywords_are_the_options():
    import attrs

    from corewise.aio.options import BatchOptionsDict

    assert set(BatchOptionsDict.__annotations__) == {field.name for field in attrs.fields(corewise.BatchOptions)}
