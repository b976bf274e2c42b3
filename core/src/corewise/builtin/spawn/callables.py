"""The callables and shared objects that workers keep: pickled once, shipped to each worker once."""

from __future__ import annotations

import itertools
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeVar

from corewise.builtin.spawn import packing, wire
from corewise.builtin.spawn.blocks import BlockStore
from corewise.builtin.spawn.jobs import Prepared
from corewise.builtin.spawn.process import Process
from corewise.executors import transfer
from corewise.executors.share import Shared

__all__ = ["Callables", "PoolShared"]

T = TypeVar("T")

_MOST_KNOWN = 128
MOST_KEPT = 32
"""How many callables and shared objects a worker keeps."""
_collecting = threading.local()


class PoolShared(Shared[T]):
    """A reference that travels as a number wherever the worker can be given the object beforehand."""

    def __init__(self, obj: T, callables: Callables, prepared: Prepared) -> None:
        super().__init__(obj)
        self._callables = callables
        self._prepared = prepared

    def __reduce__(self) -> tuple[Any, ...]:
        collected: list[Prepared] | None = getattr(_collecting, "needed", None)
        if collected is None or getattr(_collecting, "callables", None) is not self._callables:
            return super().__reduce__()
        collected.append(self._prepared)
        from corewise.builtin.spawn.kept import shared

        return shared, (self._prepared.number,)

    def __del__(self) -> None:
        self._callables.abandon(self._prepared)


class Callables:
    """Pickles callables and notes which worker has which.

    The pool's lock, which may be entered again, guards ``_known`` and every ``Prepared``. Pickling for a map happens in
    the thread that starts it, without the lock; so ``_all`` is only ever changed by single operations, as is
    ``_abandoned``: finalizers append to it, in any thread and under any lock.
    """

    def __init__(self, store: BlockStore, numbers: itertools.count[int], lock: AbstractContextManager[Any]) -> None:
        self._store = store
        self._numbers = numbers
        self._lock = lock
        self._known: OrderedDict[int, tuple[Any, Prepared]] = OrderedDict()
        self._all: dict[int, Prepared] = {}
        self._abandoned: deque[Prepared] = deque()
        self._over = False

    def prepare(self, fn: Any) -> Prepared:
        """Pickle a callable or an object; its large buffers get a block of their own, one for all workers."""
        with Collecting(self) as needed:
            data, buffers = transfer.dumps(fn, packing.LARGE)
        number = next(self._numbers)
        message = wire.pack(self._store, wire.Kind.KEEP, number, data, buffers, private=True)
        prepared = Prepared(number, message, tuple(needed))
        self._all[number] = prepared
        with self._lock:
            for other in prepared.needs:
                other.users += 1
        return prepared

    def known(self, fn: Any) -> Prepared | None:
        """Return the entry of a callable that always pickles the same; None for one that may change.

        Such are the functions and classes of modules other than ``__main__``: they travel by name.
        """
        entry = self._known.get(id(fn))
        if entry is not None:
            return entry[1]
        if not _travels_by_name(fn):
            return None
        prepared = self.prepare(fn)
        self._known[id(fn)] = (fn, prepared)
        return prepared

    def overdue(self) -> bool:
        """Whether ``trim`` has something to do."""
        return bool(self._abandoned) or len(self._known) > _MOST_KNOWN

    def trim(self, processes: list[Process]) -> None:
        """Forget the oldest callables beyond a bound, and what finalizers have abandoned. The lock is held."""
        while len(self._known) > _MOST_KNOWN:
            _, (_, prepared) = self._known.popitem(last=False)
            self.release(prepared, processes)
        while self._abandoned:
            self.release(self._abandoned.popleft(), processes)

    def abandon(self, prepared: Prepared) -> None:
        """Note that a shared object is gone; may be called anywhere, any time."""
        if not self._over:
            self._abandoned.append(prepared)

    def release(self, prepared: Prepared, processes: list[Process]) -> None:
        """Give up one use; after the last one the workers drop it."""
        prepared.users -= 1
        if prepared.users > 0 or self._all.pop(prepared.number, None) is None:
            return
        for process in processes:
            if process.kept.pop(prepared.number, False) is None:
                process.dropped.append(prepared.number)
        if prepared.message.block is not None:
            prepared.message.block.close()
        for other in prepared.needs:
            self.release(other, processes)

    def claim(self, process: Process, needed: list[Prepared]) -> tuple[int, ...]:
        """Have a worker keep what its next message needs; returns the numbers of all that it needs.

        What it has and was to be told to drop, with that very message, it is not told to drop.
        """
        numbers = dict.fromkeys(_numbers(needed))
        if process.dropped:
            for number in numbers:
                if number in process.dropped and number not in process.kept:
                    process.kept[number] = None
            process.dropped = [number for number in process.dropped if number not in numbers]
        return tuple(numbers)

    def ensure(self, process: Process, prepared: Prepared) -> None:
        """Send a callable to a worker that does not have it."""
        if prepared.number in process.kept:
            process.kept.move_to_end(prepared.number)
            return
        for other in prepared.needs:
            self.ensure(process, other)
        process.channel.send(prepared.message)
        process.kept[prepared.number] = None

    def forget_all(self) -> None:
        """Forget everything, also what references are still there to: the pool has ended."""
        self._over = True
        for prepared in [*self._all.values()]:
            if prepared.message.block is not None:
                prepared.message.block.close()
        self._all.clear()
        self._known.clear()
        self._abandoned.clear()


class Collecting:
    """While it is entered, references of a pool pickle as numbers, and it gathers which were met."""

    def __init__(self, callables: Callables) -> None:
        self._callables = callables

    def __enter__(self) -> list[Prepared]:
        self._before = getattr(_collecting, "needed", None), getattr(_collecting, "callables", None)
        needed: list[Prepared] = []
        _collecting.needed, _collecting.callables = needed, self._callables
        return needed

    def __exit__(self, *_: object) -> None:
        _collecting.needed, _collecting.callables = self._before


def _numbers(needed: Iterable[Prepared]) -> Iterator[int]:
    for prepared in needed:
        yield prepared.number
        yield from _numbers(prepared.needs)


def drop_oldest(process: Process) -> None:
    """Let a worker drop what it has not used for longest, beyond the bound."""
    while len(process.kept) > MOST_KEPT:
        number, _ = process.kept.popitem(last=False)
        process.dropped.append(number)


def _travels_by_name(fn: Any) -> bool:
    if not isinstance(fn, FunctionType | BuiltinFunctionType | type):
        return False
    if isinstance(fn, BuiltinFunctionType) and not isinstance(fn.__self__, type(sys) | None):
        return False  # a bound method of an object that may change
    found: Any = sys.modules.get(getattr(fn, "__module__", None) or "")
    if found is None or found.__name__ == "__main__":
        return False
    for name in fn.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is fn
