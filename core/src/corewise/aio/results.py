"""What a batch function may answer, and the exceptions that callers get instead."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from corewise.aio.queues import Reply
from corewise.errors import BatchResultError, text_of

__all__ = ["check", "collect", "copy_error", "deliverable", "fail"]


# Py_TPFLAGS_HEAPTYPE: the class may have a __new__ that asks for arguments, where the built-in ones take what there is.
_MADE_BY_CLASS_STATEMENT = 1 << 9


def collect(results: Any) -> Any:
    """Return `results` with a length: an iterator is run to its end here, whatever runs inside it."""
    if type(results) is list:  # nearly always; the other check is slow
        return results
    return list(results) if isinstance(results, Iterator) else results


async def collect_async(results: AsyncIterable[Any]) -> list[Any]:
    """Return everything that an asynchronous iterator yields."""
    return [result async for result in results]


def check(results: Any, expected: int, name: str) -> Sequence[Any]:
    """Return `results` if they are `expected` answers in order.

    Raises:
        BatchResultError: They have another length, or are nothing that has an order.
    """
    shape = _wrong_shape(results)
    if shape is None and len(results) == expected:
        return results  # type: ignore[no-any-return] # checked by its behaviour: arrays are no Sequence
    got = shape or f"{len(results)} results"
    items = "1 item" if expected == 1 else f"{expected} items"
    raise BatchResultError(f"{name} must return one result per item: {items} in, {got} out")


def _wrong_shape(results: Any) -> str | None:
    if results is None:
        return "None"
    if isinstance(results, str | bytes | bytearray | Mapping | AbstractSet):
        return f"a {type(results).__name__}"
    try:
        len(results)
        iter(results)
    except TypeError:  # no length, or an array of no dimension, which has the method and refuses
        return f"a {type(results).__name__} without length"
    return None


def deliverable(error: BaseException, name: str) -> BaseException:
    """Return an exception that is safe to raise in a caller.

    Cancellation and interrupts speak to the task or program that they were raised in, and asyncio acts on them; a
    caller gets them as the cause of a ``BatchResultError``. So does StopIteration, which no future accepts.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration | asyncio.CancelledError):
        return error
    text = text_of(error)
    wrapped = BatchResultError(f"{name} raised {type(error).__name__}" + (f": {text}" if text else ""))
    wrapped.__cause__ = error
    return wrapped


def fail(replies: Iterable[Reply], error: BaseException, *, quietly: bool = False) -> int:
    """Give the error to the first unanswered caller and a copy of its own to each other one; return to how many.

    Args:
        replies: What the callers wait for.
        error: What they are to get.
        quietly: Whether nobody may be left to look at it, which asyncio would otherwise complain about.
    """
    unanswered = [reply for reply in replies if not reply.done()]
    twins = [error, *(copy_error(error) for _ in unanswered[1:])]  # before anybody raises the first one
    for reply, twin in zip(unanswered, twins, strict=False):
        # Its event loop is closed, so that nobody can be woken there; or a thread cancelled it just now.
        with contextlib.suppress(RuntimeError, concurrent.futures.InvalidStateError):
            reply.set_exception(twin)
            if quietly:
                reply.exception()
    return len(unanswered)


def copy_error(error: BaseException) -> BaseException:
    """Return an equal exception, so that two callers never add notes and tracebacks to one object.

    Where the exception cannot be copied at all, it is returned itself.
    """
    try:
        twin = _twin(error)
        twin.__cause__, twin.__context__ = error.__cause__, error.__context__
        twin.__suppress_context__ = error.__suppress_context__
        return twin.with_traceback(error.__traceback__)
    except Exception:  # noqa: BLE001 - an exception's own class may do anything, and its callers are to be told
        return error


def _twin(error: BaseException) -> BaseException:
    kind = type(error)
    with contextlib.suppress(Exception):  # its constructor may ask for more than it has kept
        twin = copy.copy(error)
        if twin is not error and type(twin) is kind:
            return twin
    builtin = next(base for base in kind.__mro__ if not base.__flags__ & _MADE_BY_CLASS_STATEMENT)
    bare: BaseException = builtin.__new__(kind, *error.args)
    bare.__dict__.update(error.__dict__)
    return bare
