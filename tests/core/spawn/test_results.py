"""A result is what it was when its call returned, and one that cannot travel harms no other."""

import sys

import changing
import numpy as np
import pytest
import spawned

import corewise
from corewise.executors import frozen
from corewise.executors.chunks import run_chunk
from corewise.executors.failure import Failure

CHANGING = [
    changing.count,
    changing.plain,
    changing.small,
    changing.large,
    changing.column,
    changing.view,
    changing.in_a_tuple,
    changing.kept,
    changing.kept_weakly,
    changing.error,
]


@pytest.fixture
def actors():
    with corewise.actors(changing.Changing, num_workers=1, executor="spawn") as pool:
        yield pool
    corewise.reset()


def test_what_tasks_return_is_not_changed_by_those_behind_them():
    with spawned.make_executor(1) as executor:
        for future in [executor.submit(spawned.double, x) for x in range(200)]:
            future.result()  # now the pool knows that many fit in a message
        for fn in CHANGING:
            futures = [executor.submit(fn, i) for i in range(200)]
            outcomes = [changing.number(spawned.outcome(future)) for future in futures]
            assert (fn.__name__, outcomes) == (fn.__name__, [*range(200)])


@pytest.mark.parametrize("star", [False, True], ids=["map", "map of several arguments"])
def test_what_items_return_is_not_changed_by_those_behind_them(star):
    others = [range(60)] if star else []
    with spawned.make_executor(1) as executor:
        for fn in CHANGING:
            call = changing.First(fn) if star else fn
            found = executor.map(call, range(60), *others, chunksize=20, on_error="return")
            outcomes = [changing.number(getattr(each, "error", each)) for each in found]
            assert (fn.__name__, outcomes) == (fn.__name__, [*range(60)])


def test_what_an_async_method_returns_is_not_changed_once_it_has_returned(actors):
    futures = [actors.call("count", i) for i in range(50)]
    assert [changing.number(future.result(60)) for future in futures] == [*range(50)]


def test_what_several_async_methods_in_one_message_return_is_not_changed(actors):
    outcome = actors.send(0, [("call", "count", (i,), {}) for i in range(50)]).result(60)
    assert [changing.number(result) for result in outcome.results] == [*range(50)]


@pytest.mark.skipif("t" in sys.abiflags, reason="free-threaded Python does not count references exactly")
def test_a_fresh_array_is_not_copied_before_it_is_sent_and_any_other_is():
    def holders(make):
        results, _, _ = run_chunk(make, [0, 1], freeze=frozen.freeze)
        return [type(buffer.raw().obj) for result in results for buffer in result.buffers]

    assert holders(lambda _: np.ones(changing.LARGE)) == [np.ndarray] * 2
    for make in (changing.large, changing.kept, changing.kept_weakly, changing.view):
        assert holders(make) == [bytearray] * 2


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: changing.nested(100_000), RecursionError),
        (lambda: changing.Leaves("pickling"), SystemExit),
        (lambda: changing.Leaves("unpickling"), SystemExit),
    ],
    ids=["too deep", "leaves while it is pickled", "leaves while it is unpickled"],
)
def test_a_result_that_cannot_travel_is_the_failure_of_its_call_alone(make, kind):
    def call(x):
        return make() if x == 1 else x

    with spawned.make_executor(1) as executor:
        worker = executor.submit(spawned.pid).result()
        assert isinstance(spawned.outcome(executor.submit(call, 1)), kind)
        outcomes = [spawned.outcome(future) for future in [executor.submit(call, x) for x in range(3)]]
        assert [outcomes[0], type(outcomes[1]), outcomes[2]] == [0, kind, 2]
        first, second, third = executor.map(call, range(3), chunksize=3, on_error="return")
        assert isinstance(second, Failure)
        assert [first, type(second.error), third] == [0, kind, 2]
        assert executor.submit(spawned.pid).result() == worker


@pytest.mark.parametrize("at", ["pickling", "unpickling"])
def test_an_exception_that_cannot_travel_is_still_told(at):
    def fail():
        raise ValueError("the reason", changing.Leaves(at))

    with spawned.make_executor(1) as executor:
        assert "the reason" in str(spawned.outcome(executor.submit(fail)))
        assert executor.submit(spawned.double, 2).result() == 4


@pytest.mark.parametrize("at", ["pickling", "unpickling"])
def test_a_result_of_an_async_method_that_cannot_travel_is_the_failure_of_its_call(actors, at):
    assert isinstance(spawned.outcome(actors.call("leave", at)), SystemExit)
    assert changing.number(actors.call("count", 1).result(60)) == 1


@pytest.mark.parametrize("make", [changing.large_array, changing.large_text], ids=["array", "text"])
def test_a_large_result_without_a_descriptor_for_it_is_the_failure_of_its_call(make):
    with spawned.make_executor(1) as executor:
        worker = executor.submit(spawned.pid).result()
        assert isinstance(spawned.outcome(executor.submit(changing.without_descriptors, make)), OSError)
        executor.submit(changing.with_descriptors).result()
        assert executor.submit(spawned.pid).result() == worker


@pytest.mark.parametrize("make", [changing.large_array, changing.large_text], ids=["array", "text"])
def test_a_large_result_of_an_async_method_without_a_descriptor_for_it_is_the_failure_of_its_call(actors, make):
    assert isinstance(spawned.outcome(actors.call("without_descriptors", make)), OSError)
    actors.call("with_descriptors").result(60)
    assert actors.call("array").result(60).sum() == changing.LARGE


def test_small_results_beside_a_large_one_without_a_descriptor_arrive():
    def call(x):
        return changing.without_descriptors(changing.large_array) if x == 1 else [[x]]

    with spawned.make_executor(1) as executor:
        first, second, third = executor.map(call, range(3), chunksize=3, on_error="return")
        assert isinstance(second.error, OSError)
        assert (first, third) == ([[0]], [[2]])
