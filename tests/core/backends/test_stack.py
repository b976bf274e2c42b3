import pytest
from counting_backend import Counting
from hypothesis import given
from hypothesis import strategies as st

from corewise.backends.stack import LimitStack

STEPS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["one", "two", "three", None]), st.integers(1, 6), st.integers(0, 9)),
    max_size=30,
)


@given(steps=STEPS)
def test_limits_that_end_in_any_order_leave_the_count_as_found(steps):
    backend = Counting()
    stack = LimitStack(backend)
    tokens = []
    for begin, holder, threads, choice in steps:
        if begin:
            tokens.append(object())
            stack.push(tokens[-1], holder, threads)
        elif tokens:
            stack.pop(tokens.pop(choice % len(tokens)))
        assert backend.threads() == (stack.wanted or 7)
    for token in tokens:
        stack.pop(token)
    assert backend.threads() == 7


def test_the_innermost_limit_of_one_thread_counts():
    backend = Counting()
    stack = LimitStack(backend)
    stack.push("outer", 1, 1)
    stack.push("inner", 1, 5)
    assert backend.threads() == 5
    stack.pop("inner")
    assert backend.threads() == 1


def test_of_several_threads_the_one_that_asks_for_least_is_heard():
    backend = Counting()
    stack = LimitStack(backend)
    stack.push("first", 1, 2)
    stack.push("second", 2, 4)
    assert backend.threads() == 2
    stack.pop("first")
    assert backend.threads() == 4


def test_the_process_counts_only_where_no_thread_asks():
    backend = Counting()
    stack = LimitStack(backend)
    stack.push("process", None, 2)
    stack.push("thread", 1, 5)
    assert backend.threads() == 5
    stack.pop("thread")
    assert backend.threads() == 2


def test_a_limit_gives_back_what_somebody_else_set_before_it():
    backend = Counting()
    stack = LimitStack(backend)
    stack.push("process", None, 2)
    backend.limit(3)
    stack.push("thread", 1, 1)
    stack.pop("thread")
    assert backend.threads() == 3


def test_a_library_that_is_loaded_under_a_limit_gets_its_natural_count_when_it_ends():
    backend = Counting(state={"live": 99, "loaded": False})
    stack = LimitStack(backend)
    stack.push("outer", 1, 2)
    stack.push("inner", 1, 1)
    backend.state["loaded"] = True
    stack.renew()
    assert backend.threads() == 1
    stack.pop("inner")
    assert backend.threads() == 2
    stack.pop("outer")
    assert backend.threads() == backend.natural()


@pytest.mark.parametrize("end", ["pop", "forget"])
def test_ending_what_did_not_begin_changes_nothing(end):
    backend = Counting()
    stack = LimitStack(backend)
    stack.push("begun", 1, 3)
    getattr(stack, end)("never begun")
    assert backend.threads() == 3
    assert len(stack) == 1
