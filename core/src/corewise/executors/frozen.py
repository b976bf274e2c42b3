"""Results that stay what they were when their call returned, though they travel only with those of later calls.

A call may return an object that it changes later: a counter, an output array that is used again. Where results wait
for others before they are pickled, each is frozen first. Imported by every worker: it imports next to nothing.
"""

from __future__ import annotations

import sys
from _weakref import getweakrefcount
from sys import getrefcount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pickle import PickleBuffer
    from typing import Any

    Pickled = tuple[bytes, list[PickleBuffer]]

__all__ = ["ATOMS", "LARGE", "Frozen", "freeze", "freeze_error", "owned"]

ATOMS = frozenset({int, float, str, bytes, bool, complex, type(None)})
"""Classes whose objects never change, so that they may wait as they are."""
LARGE = 1 << 16  # bytes from which a buffer travels beside the pickle


class Frozen:
    """A result that has been pickled already; pickling this again gives the result on the other side."""

    __slots__ = ("buffers", "data")

    def __init__(self, data: bytes, buffers: list[PickleBuffer]) -> None:
        self.data: bytes = data
        self.buffers: list[PickleBuffer] = buffers

    def __reduce__(self) -> tuple[Any, ...]:
        return _thaw, (self.data, self.buffers)


def freeze(references: int, result: Any, dumps: Callable[[Any, int], Pickled] | None = None) -> Any:
    """Return a result that does not change any more: a copy of a plain container, else the result pickled now.

    Large buffers are copied, unless it is an array that nobody else can change: copying a fresh one twice is half of
    what sending it costs.

    Args:
        references: ``sys.getrefcount(result)`` as the caller sees it, who holds the result in one local variable.
        result: The result.
        dumps: What pickles it, as ``transfer.dumps`` does if None is given.

    Raises:
        Exception: What pickling it raises.
    """
    plain = _plain_copy(result)
    if plain is not None:
        return plain
    import pickle

    from corewise.executors import transfer

    data, buffers = (dumps or transfer.dumps)(result, LARGE)
    if buffers and not owned(references, result):
        buffers = [pickle.PickleBuffer(bytearray(buffer.raw())) for buffer in buffers]
    return Frozen(data, buffers)


def _plain_copy(result: Any) -> tuple[Any, ...] | list[Any] | dict[Any, Any] | None:
    """Copy a container that holds atoms only, which takes a tenth of pickling it by itself; None of any other."""
    kind = type(result)
    if kind is tuple or kind is list:
        return kind(result) if ATOMS.issuperset(map(type, result)) else None
    if kind is dict and ATOMS.issuperset(map(type, result)) and ATOMS.issuperset(map(type, result.values())):
        return dict(result)
    return None


def freeze_error(error: BaseException) -> BaseException:
    """Pack what a call raised now; what is returned stands for it until ``transfer.pack_exception`` is asked."""
    from corewise.executors.transfer import PackedError

    return PackedError(error)


def owned(references: int, result: Any) -> bool:
    """Whether a result is an array that only the caller holds, with memory of its own; takes what ``freeze`` takes.

    On free-threaded builds counts of references are not exact, so none is.
    """
    numpy = sys.modules.get("numpy")
    return (
        references == _ALONE
        and type(result) is getattr(numpy, "ndarray", None)
        and result.base is None
        and bool(result.flags.owndata)
        and getweakrefcount(result) == 0
    )


def _references() -> int:
    """Return how many references to an object are counted that one local variable holds; 3.14 counts one less."""
    result = object()
    return getrefcount(result)


_ALONE = -1 if "t" in sys.abiflags else _references()


def _thaw(data: bytes, buffers: list[Any]) -> Any:
    from pickle import loads

    return loads(data, buffers=buffers)
