"""The engine against `[fn(x) for x in xs]`, over everything that may vary."""

import pytest
from engines import USUAL_KINDS, make_executor, start_all_workers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tasks import fail_on_multiples_of_three

from corewise.executors.failure import Failure


@pytest.fixture(scope="module", params=USUAL_KINDS, autouse=True)
def executor(request):
    """Started before a test is watched for what it leaves behind."""
    with make_executor(request.param) as made:
        start_all_workers(made)
        yield made


def expected(items, on_error):
    results = []
    for index, item in enumerate(items):
        try:
            results.append(fail_on_multiples_of_three(item))
        except ValueError as error:
            if on_error == "return":
                results.append((index, str(error)))
    return results


def comparable(result):
    return (result.index, str(result.error)) if isinstance(result, Failure) else result


sizes = st.none() | st.integers(1, 40)
cases = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cases
@given(
    items=st.lists(st.integers(-50, 50), max_size=120),
    chunksize=sizes,
    buffersize=sizes,
    ordered=st.booleans(),
    on_error=st.sampled_from(["return", "skip"]),
    retries=st.integers(0, 2),
    lazy=st.booleans(),
)
def test_a_map_gives_what_a_loop_gives(executor, items, chunksize, buffersize, ordered, on_error, retries, lazy):
    results = executor.map(
        fail_on_multiples_of_three,
        iter(items) if lazy else items,
        chunksize=chunksize,
        buffersize=buffersize,
        ordered=ordered,
        on_error=on_error,
        retries=retries,
    )
    got = [comparable(result) for result in results]
    wanted = expected(items, on_error)
    if ordered:
        assert got == wanted
    else:
        assert sorted(got, key=repr) == sorted(wanted, key=repr)


@cases
@given(
    items=st.lists(st.integers(1, 60), max_size=120),
    chunksize=sizes,
    buffersize=sizes,
    taken=st.integers(0, 120),
)
def test_a_map_raises_where_a_loop_raises_and_may_be_closed_anywhere(executor, items, chunksize, buffersize, taken):
    results = executor.map(fail_on_multiples_of_three, items, chunksize=chunksize, buffersize=buffersize)
    for index, item in enumerate(items[:taken]):
        if item % 3 == 0:
            with pytest.raises(ValueError, match=f"bad {item}") as caught:
                next(results)
            assert caught.value.__notes__ == [f"map: item {index}"]
            break
        assert next(results) == item
    results.close()


@cases
@given(count=st.integers(0, 150), chunksize=sizes, buffersize=st.integers(1, 40), ordered=st.booleans())
def test_no_more_than_the_buffer_is_taken_ahead(executor, count, chunksize, buffersize, ordered):
    taken = 0

    def items():
        nonlocal taken
        for x in range(1, count + 1):
            taken += 1
            yield x

    results = executor.map(abs, items(), chunksize=chunksize, buffersize=buffersize, ordered=ordered)
    assert taken <= buffersize
    for given_out, _ in enumerate(results, start=1):
        assert taken - given_out <= buffersize
    assert taken == count
