"""What ``map`` does on every executor: the options of the engine hold, whoever runs the items."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Generator, Iterator
from typing import Any

from corewise.errors import ItemTimeoutError
from corewise.executors.failure import Failure
from corewise.testing import tasks
from corewise.testing.executor_base import ExecutorBase
from corewise.testing.expectations import equal, expect, raises

__all__ = ["MapChecks"]

MOMENT = 0.2
"""Seconds after which an item counts as one that hangs; it does hang, so only patience depends on it."""


class Counted:
    """An endless input that counts the items it gave; belongs to the thread that consumes the map."""

    def __init__(self) -> None:
        self.given: int = 0

    def __iter__(self) -> Iterator[int]:
        for item in itertools.count():
            self.given += 1
            yield item


class MapChecks(ExecutorBase):
    """Checks of ``map``."""

    def test_map_gives_what_the_built_in_map_gives(self) -> None:
        """For every length of input, size of chunk and size of buffer, in both orders."""
        with self.make() as executor:
            for length, chunksize, buffersize in itertools.product((0, 1, 2, 7, 50), (None, 1, 3, 100), (None, 1, 5)):
                for ordered in (True, False):
                    results = executor.map(
                        tasks.double, range(length), chunksize=chunksize, buffersize=buffersize, ordered=ordered
                    )
                    wanted = [2 * item for item in range(length)]
                    what = f"map of {length} items, {chunksize=}, {buffersize=}, {ordered=}"
                    equal(list(results) if ordered else sorted(results), wanted, what)

    def test_map_takes_several_inputs_and_the_shortest_ends_it(self) -> None:
        """Items of several inputs are arguments of one call."""
        with self.make() as executor:
            equal(list(executor.map(tasks.add, [1, 2, 3], itertools.count(10))), [11, 13, 15], "map of two inputs")

    def test_map_sends_lambdas(self) -> None:
        """A closure travels with what it closes over."""
        offset = 5
        with self.make() as executor:
            equal(list(executor.map(lambda item: item + offset, range(20))), list(range(5, 25)), "map of a lambda")

    def test_map_takes_an_endless_input_only_as_far_as_there_is_room(self) -> None:
        """With ``buffersize`` no more items are taken than were given out and fit into it."""
        source = Counted()
        with self.make() as executor:
            results = executor.map(tasks.double, source, buffersize=6)
            for count in range(1, 40):
                equal(next(results), 2 * (count - 1), "next result")
                expect(source.given <= count + 6, f"{source.given} items taken after {count} results, buffersize=6")
            close(results)

    def test_an_ordered_map_with_a_slow_head_stays_within_its_buffer(self) -> None:
        """The items behind a slow first one do not pile up."""
        source = Counted()
        with self.gated() as (executor, gate):
            if self.factory.in_caller:
                gate.open()
            results = executor.map(functools.partial(tasks.hold_first, gate.path), source, buffersize=8)
            if not self.factory.in_caller:
                gate.wait_for(1)
            expect(source.given <= 8, f"{source.given} items taken while the first one runs, buffersize=8")
            gate.open()
            equal(list(itertools.islice(results, 30)), list(range(30)), "results behind a slow head")
            close(results)

    def test_closing_a_map_withdraws_what_has_not_begun(self) -> None:
        """Few of many items ever begin, and the executor can be used again."""
        with self.gated() as (executor, gate):
            if self.factory.in_caller:
                gate.open()
            results = executor.map(functools.partial(tasks.hold, gate.path), range(500), chunksize=1)
            if self.factory.in_caller:
                next(results)
            gate.wait_for(1)
            close(results)
            gate.open()
            equal(list(executor.map(tasks.double, range(10))), list(range(0, 20, 2)), "a map after a closed one")
            expect(gate.begun() < 100, f"{gate.begun()} of 500 items began although the map was closed")

    def test_an_error_is_raised_in_its_place_with_the_index_of_its_item(self) -> None:
        """The results before it come first."""
        with self.make() as executor:
            for chunksize in (None, 1, 4):
                results = executor.map(tasks.fail_on_odd, [0, 2, 4, 7, 8], chunksize=chunksize)
                equal([next(results) for _ in range(3)], [0, 2, 4], "results before the error")
                with raises(ValueError, "the item that fails") as caught:
                    next(results)
                equal(caught.error.args, ("item 7 is odd",), "arguments of the error")
                notes = getattr(caught.error, "__notes__", [])
                expect(any("item 3" in note for note in notes), f"a note names item 3: {notes!r}")

    def test_failures_can_be_returned_or_skipped(self) -> None:
        """With ``on_error`` each failed item harms itself alone."""
        with self.make() as executor:
            for chunksize, ordered in itertools.product((None, 1, 3), (True, False)):
                run = functools.partial(executor.map, tasks.fail_on_odd, chunksize=chunksize, ordered=ordered)
                kept = sorted(run(range(10), on_error="skip"))
                equal(kept, [0, 2, 4, 6, 8], f"results without failures, {chunksize=}, {ordered=}")
                mixed: list[Any] = list(run(range(10), on_error="return"))
                failed = sorted(result.index for result in mixed if isinstance(result, Failure))
                equal((len(mixed), failed), (10, [1, 3, 5, 7, 9]), f"failures returned, {chunksize=}, {ordered=}")

    def test_a_failed_item_is_tried_again(self) -> None:
        """As often as ``retries`` says, and no more."""
        with self.gated() as (executor, gate):
            flaky = functools.partial(tasks.fail_first, gate.path, 2)
            equal(list(executor.map(flaky, range(6), retries=2)), list(range(6)), "results after two retries")
            equal(gate.begun(), 18, "tries of six items that fail twice")
        with self.gated() as (executor, gate):
            flaky = functools.partial(tasks.fail_first, gate.path, 2)
            with raises(ConnectionError, "an item that fails more often than it is tried again"):
                list(executor.map(flaky, [0], retries=1))
            equal(gate.begun(), 2, "tries of an item with one retry")

    def test_an_item_that_hangs_times_out_alone(self) -> None:
        """The others give their results; the one is an ``ItemTimeoutError``."""
        with self.gated() as (executor, gate):
            self.warm_up(executor)
            hang = functools.partial(tasks.hold_first, gate.path)
            results: list[Any] = list(executor.map(hang, range(6), item_timeout=MOMENT, on_error="return"))
            gate.open()
            equal(results[1:], [1, 2, 3, 4, 5], "results of the items that do not hang")
            expect(isinstance(results[0], Failure), f"the item that hangs has failed, not given {results[0]!r}")
            equal(type(results[0].error), ItemTimeoutError, "error of the item that hangs")

    def test_a_map_that_takes_too_long_times_out(self) -> None:
        """Waiting for a result raises TimeoutError when ``timeout`` is over."""
        with self.gated() as (executor, gate):
            if self.factory.in_caller:
                gate.open()  # Only between items can a map in the calling thread look at the clock.
            results = executor.map(functools.partial(tasks.hold, gate.path), itertools.count(), timeout=MOMENT)
            with raises(TimeoutError, "a map that never ends"):
                for _ in results:
                    pass
            gate.open()

    def test_an_error_of_the_input_comes_after_the_results_before_it(self) -> None:
        """Nothing that was computed is lost."""
        with self.make() as executor:
            results = executor.map(tasks.double, failing_input())
            equal([next(results) for _ in range(3)], [0, 2, 4], "results before the error of the input")
            with raises(OSError, "the error of the input"):
                next(results)

    def test_options_out_of_range_are_errors(self) -> None:
        """At once, when ``map`` is called."""
        with self.make() as executor:
            with raises(ValueError, "chunksize=0"):
                executor.map(tasks.double, [1], chunksize=0)
            with raises(ValueError, "an unknown on_error"):
                executor.map(tasks.double, [1], on_error="ignore")  # type: ignore[arg-type]  # wrong on purpose

    def test_large_items_and_results_arrive_whole(self) -> None:
        """Eight megabytes there and back."""
        data = bytes(range(256)) * 32_768
        with self.make() as executor:
            results = list(executor.map(bytes.upper, [data, data]))
        expect(all(result == data.upper() for result in results), "large results arrive as they were sent")

    def test_maps_and_calls_may_be_under_way_at_once(self) -> None:
        """None mixes with another or blocks it."""
        with self.make() as executor:
            futures = [executor.submit(tasks.double, item) for item in range(10)]
            first, second = executor.map(tasks.double, range(30)), executor.map(tasks.double, range(100, 130))
            pairs = list(zip(first, second, strict=True))
            equal(pairs, [(2 * item, 2 * item + 200) for item in range(30)], "two maps at once")
            equal([future.result() for future in futures], list(range(0, 20, 2)), "calls beside maps")


def failing_input() -> Iterator[int]:
    """Give three items and raise."""
    yield from range(3)
    raise OSError("the input failed")


def close(results: Iterator[int]) -> None:
    """Close the iterator of a map, which is a generator."""
    if not isinstance(results, Generator):
        raise TypeError(f"map returns a generator, whose close() withdraws work; not {type(results)}")
    results.close()
