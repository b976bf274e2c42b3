"""What the checks of the kit say when something is not as it should be; they work under any test runner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["Caught", "equal", "expect", "raises"]


def expect(condition: bool, claim: str) -> None:
    """Fail unless the condition holds.

    Raises:
        AssertionError: With the claim that does not hold.
    """
    if not condition:
        raise AssertionError(claim)


def equal(actual: Any, wanted: Any, what: str) -> None:
    """Fail unless both are equal.

    Raises:
        AssertionError: With both of them.
    """
    expect(actual == wanted, f"{what}: got {actual!r}, expected {wanted!r}")


class Caught:
    """Holds the exception that a ``raises`` block caught; belongs to the thread that runs the block."""

    def __init__(self) -> None:
        self.error: BaseException = AssertionError("nothing was caught")


@contextlib.contextmanager
def raises(kind: type[BaseException], what: str) -> Iterator[Caught]:
    """Fail unless the block raises an exception of this kind.

    Raises:
        AssertionError: It raised nothing.
    """
    caught = Caught()
    try:
        yield caught
    except kind as error:
        caught.error = error
        return
    raise AssertionError(f"{what}: expected {kind.__name__}, and nothing was raised")
