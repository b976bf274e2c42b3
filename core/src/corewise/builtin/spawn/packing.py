"""Packing the items or results of a chunk so that one that cannot travel harms only itself.

A list of plain builtin objects is one pickle: nothing in it can fail to load, and it is the fastest way. As soon as an
object of any other class is met, each member is pickled by itself, and its large buffers stay out of the pickle.
Used on both sides; imported by every worker: it imports little.
"""

from __future__ import annotations

from _pickle import Pickler, dumps, loads  # the pickle module itself imports re and enum, which idle workers do without
from io import BytesIO

from corewise.executors.frozen import LARGE, Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

__all__ = ["LARGE", "Unsendable", "pack_all", "pack_list", "pack_one", "pack_small", "unpack_all", "unpacker"]


class _Foreign(Exception):  # noqa: N818 - a signal, not an error
    """Something that is not a plain builtin object was met."""


class _PlainPickler(Pickler):
    """Pickles builtin objects and refuses everything else; the C pickler asks it only about other classes."""

    def reducer_override(self, _: Any) -> Any:
        raise _Foreign


def pack_list(objects: Sequence[Any]) -> bytes | None:
    """Pickle a list of plain builtin objects at once; None where there are others, or one is too deep or too large."""
    stream = BytesIO()
    try:
        _PlainPickler(stream, 5).dump(objects)
    except (_Foreign, MemoryError, RecursionError):
        return None
    return stream.getvalue()


def pack_one(item: Any, buffers: list[Any]) -> tuple[bytes, int, int]:
    """Pickle one object, unless it is frozen already; its large buffers are appended to ``buffers``."""
    if type(item) is Frozen:
        data, own = item.data, item.buffers
    else:
        from corewise.executors import transfer

        data, own = transfer.dumps(item, LARGE)
    begin = len(buffers)
    buffers.extend(own)
    return data, begin, len(buffers)


def pack_all(
    objects: Sequence[Any], buffers: list[Any], failed: Callable[[int, BaseException], Any]
) -> bytes | list[tuple[bytes, int, int]]:
    """Pack a list; what ``failed(position, error)`` returns stands for a member that cannot be pickled."""
    plain = pack_list(objects)
    if plain is not None:
        return plain
    packed = []
    for position, item in enumerate(objects):
        try:
            packed.append(pack_one(item, buffers))
        except BaseException as error:  # noqa: BLE001 - pickling runs the item's own code, which may raise SystemExit
            packed.append(pack_one(failed(position, error), buffers))
    return packed


def pack_small(
    packed: bytes | list[tuple[bytes, int, int]], count: int, most: int
) -> tuple[list[tuple[bytes, int, int]], list[int]]:
    """Leave out of ``count`` packed members what needs shared memory.

    Returns:
        The members, None in the place of each that has buffers or would make all pickles longer than ``most`` bytes,
        and the places of these.
    """
    small, lost, none = [], [], (dumps(None, 5), 0, 0)
    for place, member in enumerate([(packed, 0, 1)] * count if isinstance(packed, bytes) else packed):
        data, begin, end = member
        fits = begin == end and len(data) <= most
        small.append(member if fits else none)
        if fits:
            most -= len(data)
        else:
            lost.append(place)
    return small, lost


def unpacker(buffers: Sequence[Any]) -> Callable[[tuple[bytes, int, int]], Any]:
    """Return the function that loads one member."""

    def load(member: tuple[bytes, int, int]) -> Any:
        data, begin, end = member
        return loads(data, buffers=buffers[begin:end])

    return load


def unpack_all(
    packed: Sequence[tuple[bytes, int, int]], buffers: Sequence[Any]
) -> Iterator[tuple[Any, BaseException | None]]:
    """Load every member: it, or the error that loading it raised."""
    load = unpacker(buffers)
    for member in packed:
        try:
            loaded, reason = load(member), None
        except BaseException as error:  # noqa: BLE001 - loading runs the member's own code, which may raise SystemExit
            loaded, reason = None, error
        yield loaded, reason


class Unsendable:
    """Stands for an item that could not be pickled: loading it raises the reason."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        from corewise.executors import transfer

        return _raise, (transfer.pack_exception(self._error),)


def _raise(packed: bytes) -> Any:
    from corewise.executors import transfer

    raise transfer.unpack_exception(packed)
