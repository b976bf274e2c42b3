import asyncio
import concurrent.futures
import itertools
import math

import pytest

import corewise


class Picky:
    """A batch function that raises where a bad item is among its items, and notes its calls."""

    def __init__(self, bad, error=ValueError):
        self.bad, self.error, self.calls = set(bad), error, []

    async def __call__(self, items):
        self.calls.append(list(items))
        if found := self.bad.intersection(items):
            raise self.error(f"bad: {sorted(found)}")
        return [-item for item in items]


async def outcomes(batched, count):
    return await asyncio.gather(*(batched(i) for i in range(count)), return_exceptions=True)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 31, 32, 33, 100])
def test_one_bad_item_harms_only_itself_and_costs_at_most_2_log2_n_plus_1_calls(size):
    async def main():
        for bad in range(size):
            function = Picky([bad])
            results = await outcomes(corewise.BatchedFunction(function), size)
            assert isinstance(results[bad], ValueError)
            assert all(results[i] == -i for i in range(size) if i != bad)
            assert len(function.calls) <= 2 * math.log2(size) + 1

    asyncio.run(main())


def test_any_bad_items_harm_only_themselves_and_cost_at_most_2_log2_n_times_bad_plus_1_calls():
    async def main():
        size = 8
        for count in range(size + 1):
            for bad in itertools.combinations(range(size), count):
                function = Picky(bad)
                results = await outcomes(corewise.BatchedFunction(function), size)
                assert [isinstance(result, ValueError) for result in results] == [i in bad for i in range(size)]
                assert len(function.calls) <= 2 * math.log2(size) * max(count, 1) + 1

    asyncio.run(main())


def test_each_bad_items_caller_gets_its_own_exception():
    async def main():
        results = await outcomes(corewise.BatchedFunction(Picky([1, 2])), 4)
        assert [str(result) for result in results[1:3]] == ["bad: [1]", "bad: [2]"]

    asyncio.run(main())


def test_with_on_error_fail_nothing_is_called_twice_and_each_caller_gets_a_copy():
    class OddError(Exception):
        def __init__(self, *, why):
            super().__init__("odd")
            self.why = why

    async def function(items):
        calls.append(items)
        raise OddError(why="told")

    calls = []

    async def main():
        errors = await outcomes(corewise.BatchedFunction(function, on_error="fail"), 5)
        assert len(calls) == 1
        assert [(type(error), str(error), error.why) for error in errors] == [(OddError, "odd", "told")] * 5
        assert len({id(error) for error in errors}) == 5
        errors[0].add_note("mine")
        assert not any(hasattr(error, "__notes__") for error in errors[1:])
        assert all(error.__traceback__ is not None for error in errors)

    asyncio.run(main())


class DemandingError(Exception):
    """Cannot be made from its ``args``."""

    def __new__(cls, code, text):
        return super().__new__(cls, code, text)

    def __init__(self, code, text):
        super().__init__(f"{code} {text}")


class DemandingOSError(OSError):
    def __new__(cls, code, text):
        return super().__new__(cls, code, text)

    def __init__(self, code, text):
        super().__init__(f"{code} {text}")


class UniqueError(Exception):
    """Cannot be copied at all."""

    def __init__(self):
        self.copies = 0

    @property
    def __dict__(self):
        raise AttributeError("nobody may look")

    def __copy__(self):
        raise RuntimeError("there is only one")


@pytest.mark.parametrize("kind", [DemandingError, DemandingOSError])
@pytest.mark.parametrize("on_error", ["isolate", "fail"])
def test_an_exception_whose_class_asks_for_arguments_harms_its_callers_only(kind, on_error):
    async def function(items):
        if "bad" in items:
            raise kind(1, "bad")
        return items

    async def main():
        batched = corewise.BatchedFunction(function, on_error=on_error, max_batch_size=3)
        replies = [batched(item) for item in ("a", "bad", "c", "d")]
        results = await asyncio.gather(*replies, return_exceptions=True)
        assert results.pop() == "d"
        errors = [result for result in results if isinstance(result, Exception)]
        assert len(errors) == (1 if on_error == "isolate" else 3)
        assert {(type(error), str(error)) for error in errors} == {(kind, str(kind(1, "bad")))}
        assert len({id(error) for error in errors}) == len(errors)

    asyncio.run(main())


def test_an_exception_that_cannot_be_copied_is_given_to_all_as_it_is():
    async def function(items):
        raise error

    async def main():
        assert await outcomes(corewise.BatchedFunction(function, on_error="fail"), 3) == [error] * 3

    error = UniqueError()
    asyncio.run(main())


@pytest.mark.parametrize("on_error", ["isolate", "fail"])
def test_an_exception_for_one_caller_is_not_copied(on_error):
    class CountedError(Exception):
        def __copy__(self):
            raise KeyboardInterrupt

    async def function(items):
        raise CountedError

    async def main():
        with pytest.raises(CountedError):
            await corewise.BatchedFunction(function, on_error=on_error)(1)

    asyncio.run(main())


def test_an_exception_in_place_of_a_result_is_that_items_alone():
    async def function(items):
        return [KeyError(item) if item == 2 else item for item in items]

    async def main():
        batched = corewise.BatchedFunction(function)
        results = await outcomes(batched, 4)
        assert isinstance(results.pop(2), KeyError)
        assert results == [0, 1, 3]
        assert batched.stats().calls == 1

    asyncio.run(main())


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), StopIteration(), GeneratorExit()])
def test_an_exception_that_no_future_may_carry_arrives_as_a_batch_result_error(error):
    async def function(items):
        return [error for _ in items]

    async def main():
        with pytest.raises(corewise.BatchResultError, match=f"function raised {type(error).__name__}") as caught:
            await corewise.BatchedFunction(function)(1)
        assert caught.value.__cause__ is error

    asyncio.run(main())


@pytest.mark.parametrize("blocking", [False, True])
def test_a_batch_method_that_raises_cancelled_error_fails_its_bad_item_and_the_batcher_lives(blocking):
    def check(items):
        if 3 in items:
            raise asyncio.CancelledError
        return items

    async def function(items):
        return check(items)

    async def main():
        async with corewise.BatchedFunction(check if blocking else function) as batched:
            results = await asyncio.wait_for(outcomes(batched, 5), 30)
            assert isinstance(results.pop(3), corewise.BatchResultError)
            assert results == [0, 1, 2, 4]
            assert await batched(7) == 7

    asyncio.run(main())


def test_a_blocking_function_that_raises_stop_iteration_fails_its_bad_item_and_the_batcher_lives():
    def function(items):
        return [next(iter(item)) for item in items]

    async def main():
        async with corewise.BatchedFunction(function) as batched:
            replies = [batched(item) for item in ("ab", "", "c")]
            good, bad, other = await asyncio.wait_for(asyncio.gather(*replies, return_exceptions=True), 30)
            assert (good, other) == ("a", "c")
            assert isinstance(bad, corewise.BatchResultError)
            assert str(bad) == "function raised StopIteration"
            assert await batched("d") == "d"

    asyncio.run(main())


def test_concurrent_futures_cancelled_error_is_an_error_like_others():
    def function(items):
        raise concurrent.futures.CancelledError

    async def main():
        async with corewise.BatchedFunction(function) as batched:
            with pytest.raises(corewise.BatchResultError, match="function raised CancelledError"):
                await asyncio.wait_for(batched(1), 30)

    asyncio.run(main())


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_loop_and_the_batcher_serves_the_next_one(interrupt, blocking):
    def check(items):
        if "stop" in items:
            raise interrupt
        return items

    async def function(items):
        return check(items)

    batched = corewise.BatchedFunction(check if blocking else function)
    told = []

    async def caller(item):
        try:
            await batched(item)
        except BaseException as error:
            told.append(type(error))
            raise

    async def main():
        await asyncio.gather(*(caller(item) for item in ("stop", "a", "b")))

    with pytest.raises(interrupt):
        asyncio.run(main())
    assert len(told) == 3

    async def again():
        return await asyncio.wait_for(batched("fine"), 30)

    assert asyncio.run(again()) == "fine"
    batched.close()


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda items: None, "None"),
        (lambda items: items[:-1], "2 results"),
        (lambda items: [*items, 4], "4 results"),
        (lambda items: iter(items[:-1]), "2 results"),
        (lambda items: "abc", "a str"),
        (lambda items: {item: item for item in items}, "a dict"),
        (set, "a set"),
        (lambda items: 3, "a int without length"),
    ],
)
@pytest.mark.parametrize("blocking", [False, True])
def test_a_wrong_shape_is_an_error_that_names_the_method_and_both_lengths(answer, got, blocking):
    calls = []

    def sized(items):
        calls.append(items)
        return answer(items)

    async def sized_async(items):
        return sized(items)

    async def main():
        async with corewise.BatchedFunction(sized if blocking else sized_async, name="sized") as batched:
            results = await outcomes(batched, 3)
            assert [str(error) for error in results] == [
                f"sized must return one result per item: 3 items in, {got} out"
            ] * 3
            assert all(type(error) is corewise.BatchResultError for error in results)
            assert len({id(error) for error in results}) == 3
            assert len(calls) == 1

    asyncio.run(main())


def test_what_a_generator_raises_while_it_runs_is_isolated_too():
    async def function(items):
        return (1 // item for item in items)

    async def main():
        results = await outcomes(corewise.BatchedFunction(function), 4)
        assert isinstance(results[0], ZeroDivisionError)
        assert results[1:] == [1, 0, 0]

    asyncio.run(main())


def test_an_error_has_the_traceback_of_the_batch_method():
    async def function(items):
        raise_from_below()

    def raise_from_below():
        raise ValueError("deep")

    async def main():
        import traceback

        try:
            await corewise.BatchedFunction(function)(1)
        except ValueError as error:
            names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
            assert "raise_from_below" in names

    asyncio.run(main())


def test_results_that_raise_while_they_are_read_fail_their_callers_and_the_batcher_lives():
    class Broken(list):
        def __iter__(self):
            yield 0
            raise OSError("gone")

    async def function(items):
        return Broken(items) if len(items) > 1 else items

    async def main():
        batched = corewise.BatchedFunction(function)
        results = await outcomes(batched, 3)
        assert results[0] == 0
        assert [str(error) for error in results[1:]] == ["gone", "gone"]
        assert await batched(5) == 5

    asyncio.run(main())
