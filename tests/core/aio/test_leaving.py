import asyncio
import subprocess
import sys
import threading

import pytest

import corewise


class Gated:
    def __init__(self):
        self.batches = []
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.cancelled = 0

    async def __call__(self, items):
        self.batches.append(list(items))
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return items


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_caller_cancelled_while_it_waits_is_not_sent_and_harms_nobody():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        first = batched("first")
        await function.entered.wait()
        replies = [batched(i) for i in range(10)]
        replies.pop(3).cancel()
        function.gate.set()
        assert await first == "first"
        assert await asyncio.gather(*replies) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert function.batches == [["first"], [0, 1, 2, 4, 5, 6, 7, 8, 9]]

    asyncio.run(main())


def test_a_caller_cancelled_while_its_batch_runs_harms_nobody():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        replies = [batched(i) for i in range(10)]
        await function.entered.wait()
        for place in (0, 3, 9):
            replies[place].cancel()
        await turns()
        function.gate.set()
        assert await asyncio.gather(*replies[1:3], *replies[4:9]) == [1, 2, 4, 5, 6, 7, 8]
        assert await batched("next") == "next"
        assert function.cancelled == 0

    asyncio.run(main())


def test_where_everyone_of_a_running_batch_is_gone_its_task_is_cancelled_and_the_next_batch_runs():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        replies = [batched(i) for i in range(10)]
        await function.entered.wait()
        waiting = batched("waiting")
        for reply in reversed(replies):
            assert function.cancelled == 0
            reply.cancel()
            await turns(2)
        await turns(20)
        assert function.cancelled == 1
        function.gate.set()
        assert await asyncio.wait_for(waiting, 30) == "waiting"

    asyncio.run(main())


def test_where_all_who_wait_are_gone_nothing_is_called():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        batched(1).cancel()
        await turns()
        assert function.batches == []
        function.gate.set()
        assert await asyncio.wait_for(batched(2), 30) == 2

    asyncio.run(main())


def test_a_callers_timeout_ends_that_caller_alone():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        other = batched(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batched(2), 0.01)
        function.gate.set()
        assert await other == 1
        assert await batched(3) == 3

    asyncio.run(main())


def test_a_batch_whose_task_is_cancelled_before_its_first_step_gives_its_slot_back():
    async def main():
        function = Gated()
        function.gate.set()
        batched = corewise.BatchedFunction(function)
        reply = batched(1)
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        task.cancel()
        assert await asyncio.wait_for(reply, 30) == 1
        assert batched.stats().running == 0

    asyncio.run(main())


def test_a_batch_whose_task_is_cancelled_by_others_tells_its_callers():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        reply = batched(1)
        await function.entered.wait()
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        task.cancel()
        with pytest.raises(corewise.ClosedError, match="was cancelled while it ran"):
            await asyncio.wait_for(reply, 30)
        function.gate.set()
        assert await batched(2) == 2

    asyncio.run(main())


def test_callers_that_leave_while_a_bad_item_is_looked_for_are_not_sent_again():
    async def main():
        calls = []
        entered, gate = asyncio.Event(), asyncio.Event()

        async def function(items):
            calls.append(items)
            if len(calls) == 2:
                entered.set()
                await gate.wait()
            if 0 in items:
                raise ValueError
            return items

        batched = corewise.BatchedFunction(function)
        replies = [batched(i) for i in range(4)]
        await entered.wait()
        replies[3].cancel()
        gate.set()
        results = await asyncio.gather(*replies[:3], return_exceptions=True)
        assert isinstance(results[0], ValueError)
        assert results[1:] == [1, 2]
        assert calls[2:] == [[0], [1], [2]]

    asyncio.run(main())


def test_aclose_drains_what_waits_and_runs():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function, max_batch_size=2)
        replies = [batched(i) for i in range(7)]
        await function.entered.wait()
        closing = asyncio.create_task(batched.aclose())
        await turns()
        assert not closing.done()
        function.gate.set()
        await asyncio.wait_for(closing, 30)
        assert [reply.result() for reply in replies] == list(range(7))

    asyncio.run(main())


def test_aclose_without_draining_fails_what_waits_and_cancels_what_runs():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        replies = [batched(0)]
        await function.entered.wait()
        replies += [batched(i) for i in range(1, 6)]
        await asyncio.wait_for(batched.aclose(drain=False), 30)
        errors = await asyncio.gather(*replies, return_exceptions=True)
        assert [type(error) for error in errors] == [corewise.ClosedError] * 6
        assert function.cancelled == 1
        assert function.batches == [[0]]

    asyncio.run(main())


def test_a_function_that_answers_cancellation_with_an_error_of_its_own_is_not_called_again():
    calls = []

    async def function(items):
        calls.append(items)
        entered.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise ConnectionError("interrupted") from None

    async def main():
        batched = corewise.BatchedFunction(function)
        replies = [batched(i) for i in range(4)]
        await entered.wait()
        await asyncio.wait_for(batched.aclose(drain=False), 30)
        errors = await asyncio.gather(*replies, return_exceptions=True)
        assert [type(error) for error in errors] == [corewise.ClosedError] * 4
        assert isinstance(errors[0].__cause__, ConnectionError)
        assert calls == [[0, 1, 2, 3]]

    entered = asyncio.Event()
    asyncio.run(main())


def test_a_function_that_ignores_cancellation_while_a_bad_item_is_looked_for_is_not_called_again():
    calls = []

    async def function(items):
        calls.append(items)
        if len(items) == 4:
            raise ValueError
        entered.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return items

    async def main():
        batched = corewise.BatchedFunction(function)
        replies = [batched(i) for i in range(4)]
        await entered.wait()
        await asyncio.wait_for(batched.aclose(drain=False), 30)
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert results[:2] == [0, 1]
        assert [type(error) for error in results[2:]] == [corewise.ClosedError] * 2
        assert calls == [[0, 1, 2, 3], [0, 1]]

    entered = asyncio.Event()
    asyncio.run(main())


def test_aclose_without_draining_does_not_wait_for_a_blocking_function():
    go, entered = threading.Event(), threading.Event()

    def blocking(items):
        entered.set()
        assert go.wait(60)
        return items

    async def main():
        batched = corewise.BatchedFunction(blocking)
        reply = batched(1)
        assert await asyncio.to_thread(entered.wait, 60)
        await asyncio.wait_for(batched.aclose(drain=False), 30)
        with pytest.raises(corewise.ClosedError):
            await reply
        go.set()

    asyncio.run(main())


@pytest.mark.parametrize("error", [None, ValueError])
def test_aclose_waits_for_a_blocking_function_whose_callers_have_left(error):
    go, entered, ended = threading.Event(), threading.Event(), threading.Event()

    def blocking(items):
        entered.set()
        assert go.wait(60)
        ended.set()
        if error is not None:
            raise error
        return items

    async def main():
        batched = corewise.BatchedFunction(blocking)
        reply = batched(1)
        assert await asyncio.to_thread(entered.wait, 60)
        reply.cancel()
        closing = asyncio.create_task(batched.aclose())
        await turns(20)
        assert not closing.done()
        go.set()
        await asyncio.wait_for(closing, 30)
        assert ended.is_set()

    asyncio.run(main())


AT_EXIT = """
import asyncio, sys, threading, corewise

entered = threading.Event()

def blocking(items):
    entered.set()
    {body}
    return items

async def main():
    batched = corewise.BatchedFunction(blocking)
    reply = batched(1)
    await asyncio.to_thread(entered.wait)
    reply.cancel()
    {end}

asyncio.run(main())
"""


def output_of(body, end):
    script = AT_EXIT.format(body=body, end=end)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)


def test_a_function_that_hangs_in_a_thread_and_was_closed_without_draining_does_not_hold_up_the_exit():
    assert output_of("threading.Event().wait()", "await batched.aclose(drain=False)").stderr == ""


def test_a_function_that_runs_in_a_thread_finishes_before_the_exit():
    body = "threading.main_thread().join(); print('finished', file=sys.stderr)"
    assert output_of(body, "pass").stderr == "finished\n"


def test_a_request_in_the_turn_of_closing_is_still_served():
    async def main():
        function = Gated()
        function.gate.set()
        batched = corewise.BatchedFunction(function, max_delay=30.0)
        reply = batched(1)
        await asyncio.wait_for(batched.aclose(), 30)
        assert reply.result() == 1

    asyncio.run(main())


def test_a_call_after_closing_is_an_error_when_it_is_awaited():
    async def main():
        batched = corewise.BatchedFunction(Gated())
        await batched.aclose()
        await batched.aclose()
        reply = batched(1)
        with pytest.raises(corewise.ClosedError, match="Gated is closed"):
            await reply
        with pytest.raises(corewise.ClosedError, match="Gated is closed"):
            batched.submit(1)

    asyncio.run(main())


def test_a_cancelled_aclose_can_be_followed_by_one_that_does_not_drain():
    async def main():
        function = Gated()
        batched = corewise.BatchedFunction(function)
        reply = batched(1)
        await function.entered.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batched.aclose(), 0.01)
        await asyncio.wait_for(batched.aclose(drain=False), 30)
        assert isinstance(reply.exception(), corewise.ClosedError)

    asyncio.run(main())


def test_a_batch_method_may_close_its_own_batcher():
    async def function(items):
        await batched.aclose()
        return items

    batched = corewise.BatchedFunction(function)

    async def main():
        assert await asyncio.wait_for(batched(1), 30) == 1
        with pytest.raises(corewise.ClosedError):
            await batched(2)

    asyncio.run(main())


def test_async_with_closes():
    async def main():
        function = Gated()
        function.gate.set()
        async with corewise.BatchedFunction(function) as batched:
            reply = batched(1)
        assert reply.result() == 1
        with pytest.raises(corewise.ClosedError):
            await batched(2)

    asyncio.run(main())


class Waiting:
    """An object whose one batch method never ends."""

    def __init__(self):
        self.function = Gated()

    async def double(self, number):
        raise NotImplementedError

    async def batch_double(self, numbers):
        return await self.function(numbers)


class WaitingInContext(Waiting):
    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, traceback):
        self.left_by = kind


def call_function(function):
    return corewise.BatchedFunction(function.function)


@pytest.mark.parametrize("kind", [Waiting, WaitingInContext])
@pytest.mark.parametrize("make", [call_function, corewise.autobatch])
def test_async_with_whose_body_is_cancelled_does_not_finish_what_waits(make, kind):
    async def body(batched, call):
        async with batched:
            other = asyncio.ensure_future(call(1))
            others.append(other)
            await call(2)

    async def main():
        obj = kind()
        batched = make(obj)
        running = asyncio.create_task(body(batched, getattr(batched, "double", batched)))
        await obj.function.entered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 30)
        with pytest.raises(corewise.ClosedError):
            await others[0]
        assert obj.function.cancelled == 1

    others = []
    asyncio.run(main())


def test_async_with_whose_body_raises_an_error_finishes_what_waits():
    async def body(function):
        async with corewise.BatchedFunction(function) as batched:
            replies.append(batched(1))
            raise KeyError

    async def main():
        function = Gated()
        function.gate.set()
        with pytest.raises(KeyError):
            await body(function)
        assert replies[0].result() == 1

    replies = []

    asyncio.run(main())


@pytest.mark.parametrize("options", [{}, {"max_delay": 30.0}, {"max_batch_size": 1}])
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_a_loop_that_ends_with_requests_pending_leaves_the_batcher_fit_for_the_next_one(options, steps):
    async def function(items):
        if "stuck" in items:
            await asyncio.get_running_loop().create_future()
        return items

    batched = corewise.BatchedFunction(function, **options)
    left_behind = []

    async def first():
        left_behind.extend(batched("stuck") for _ in range(3))
        await turns(steps)

    async def second():
        if options.get("max_delay"):
            reply = batched("fine")
            await batched.aclose()
            return reply.result()
        return await asyncio.wait_for(batched("fine"), 30)

    asyncio.run(first())
    assert asyncio.run(second()) == "fine"
    asyncio.run(batched.aclose())
    assert all(reply.done() for reply in left_behind)
    assert batched.stats().running == 0


def test_a_loop_closed_without_cancelling_its_tasks_holds_up_no_other(recwarn):
    async def function(items):
        if "stuck" in items:
            await asyncio.get_running_loop().create_future()
        return items

    batched = corewise.BatchedFunction(function)
    loop = asyncio.new_event_loop()

    async def first():
        batched("stuck")
        await turns()

    loop.run_until_complete(first())
    loop.set_exception_handler(lambda loop, context: None)
    loop.close()

    async def second():
        return await asyncio.wait_for(batched("fine"), 30)

    assert asyncio.run(second()) == "fine"
    asyncio.run(batched.aclose())


def test_a_loop_that_stands_still_holds_up_no_other():
    async def function(items):
        if "stuck" in items:
            await stuck
        return items

    batched = corewise.BatchedFunction(function)
    loop = asyncio.new_event_loop()
    stuck = loop.create_future()

    async def first():
        reply = batched("stuck")
        await turns()
        return reply

    reply = loop.run_until_complete(first())

    async def second():
        return await asyncio.wait_for(batched("fine"), 30)

    assert asyncio.run(second()) == "fine"
    stuck.set_result(None)
    assert loop.run_until_complete(reply) == "stuck"
    loop.close()
    asyncio.run(batched.aclose())
