"""What a worker keeps by number, callables and shared objects, and what stands for those that it lacks.

Only the worker's main thread touches it. Imported by every worker: it imports next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["Absent", "Broken", "objects", "shared"]

objects: dict[int, Any] = {}


class Absent(Exception):  # noqa: N818 - a signal, not an error
    """A shared object that a callable refers to is not here."""


class Broken:
    """Stands for a callable or an object that could not be loaded here."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise what loading it raised."""
        raise self._error


def shared(number: int) -> Any:
    """Rebuild a reference to a shared object that the pool has sent before.

    Raises:
        Absent: It is not here.
    """
    from corewise.executors.share import Shared

    try:
        obj = objects[number]
    except KeyError:
        raise Absent from None
    if type(obj) is Broken:
        obj()
    return Shared(obj)
