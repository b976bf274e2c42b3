"""Shared memory without names: blocks that the sender fills and recycles, and the receiver maps.

A block is a memfd, handed over once by its descriptor. It has no name anywhere, so there is nothing to unlink: when the
last process that holds it is gone, killed or not, the kernel frees it. Imported by every worker: it imports little.

``BlockStore`` is used by one thread at a time: in the pool under the pool's lock, in a worker by its main thread.
``Attachments`` likewise, except that ``freed`` may be appended to by whichever thread drops the last array.
"""

from __future__ import annotations

import os
from itertools import count
from mmap import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

__all__ = ["ALIGNMENT", "Attachments", "Block", "BlockStore", "aligned"]

ALIGNMENT = 64  # a cache line, and what vector units ask for
_GRAIN = 1 << 16
_LARGEST_WRITE = 1 << 30  # Linux writes at most 2 GiB at once
_MOST_IDLE_BYTES = 256 << 20
_MOST_IDLE = 64
_MOST_TAKEN = 64
"""How many blocks a sender lends. Each costs it two descriptors, so beyond these it gives blocks away for good."""


def aligned(size: int) -> int:
    """Round a size up so that what follows it is aligned."""
    return (size + ALIGNMENT - 1) & -ALIGNMENT


class Block:
    """A piece of shared memory, owned by the sender.

    Attributes:
        number: What the receiver knows it by; unique within its store, from 1.
        fd: The memfd.
        size: Bytes that it can hold.
    """

    __slots__ = ("_view", "fd", "number", "size")

    def __init__(self, number: int, size: int) -> None:
        self.number: int = number
        self.size: int = size
        self.fd: int = os.memfd_create("corewise", os.MFD_CLOEXEC)
        self._view: memoryview | None = None
        try:
            os.ftruncate(self.fd, size)
        except OSError:
            self.close()
            raise

    def fill(self, parts: Iterable[tuple[int, Any]], *, keep: bool = True) -> None:
        """Copy buffers to their offsets.

        The first time by ``pwrite``, which faults in fewer pages than touching a fresh mapping does; from the second
        time on through a mapping, which is twice as fast then. ``keep`` makes that mapping.
        """
        if self._view is not None:
            for offset, part in parts:
                self._view[offset : offset + len(part)] = part
            return
        for offset, part in parts:
            _write(self.fd, part, offset)
        if keep:
            self._view = memoryview(mmap(self.fd, self.size))

    def close(self) -> None:
        """Let go of it; the memory lives on for those who map it."""
        self._view = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _write(fd: int, part: memoryview, offset: int) -> None:
    done = 0
    while done < len(part):
        done += os.pwrite(fd, part[done : done + _LARGEST_WRITE], offset + done)


class BlockStore:
    """The sender's blocks: taken for a message, given back when the receiver has dropped the last array over them."""

    __slots__ = ("_idle", "_idle_bytes", "_numbers", "_taken", "forgotten")

    def __init__(self) -> None:
        self._idle: list[Block] = []
        self._idle_bytes = 0
        self._numbers = count(1)
        self._taken: dict[int, Block] = {}
        self.forgotten: list[int] = []  # numbers of blocks closed since the owner last told the receivers

    def lends(self) -> bool:
        """Whether the next block is to come back; else it is to be given away."""
        return len(self._taken) < _MOST_TAKEN

    def take(self, size: int, *, recycle: bool = True) -> Block:
        """Return a block of at least ``size`` bytes: the smallest idle one that is not four times too large.

        One that is not to be recycled is new, and belongs to the caller.
        """
        fitting = [block for block in self._idle if size <= block.size <= 4 * size] if recycle else []
        if fitting:
            block = min(fitting, key=lambda block: block.size)
            self._idle.remove(block)
            self._idle_bytes -= block.size
        else:
            block = Block(next(self._numbers), (size + _GRAIN - 1) & -_GRAIN)
        if recycle:
            self._taken[block.number] = block
        return block

    def give_back(self, numbers: Iterable[int]) -> None:
        """Make blocks available again; the oldest idle ones are closed beyond 64, or 256 MiB."""
        for number in numbers:
            block = self._taken.pop(number, None)
            if block is not None:
                self._idle.append(block)
                self._idle_bytes += block.size
        while self._idle_bytes > _MOST_IDLE_BYTES or len(self._idle) > _MOST_IDLE:
            block = self._idle.pop(0)
            self._idle_bytes -= block.size
            self._close(block)

    def discard(self, number: int) -> None:
        """Close a block that nobody will give back; one that was not to be recycled is its caller's to close."""
        block = self._taken.pop(number, None)
        if block is not None:
            self._close(block)

    def _close(self, block: Block) -> None:
        self.forgotten.append(block.number)
        block.close()

    def close(self) -> None:
        """Close every block."""
        for block in (*self._idle, *self._taken.values()):
            block.close()
        self._idle.clear()
        self._taken.clear()
        self._idle_bytes = 0

    def __len__(self) -> int:
        return len(self._idle) + len(self._taken)


class Attachments:
    """The receiver's mappings of blocks, and the news which of them nobody uses any more."""

    __slots__ = ("_mappings", "_references", "freed")

    def __init__(self) -> None:
        self._mappings: dict[int, Any] = {}
        self._references: dict[int, Any] = {}
        self.freed: list[int] = []

    def attach(self, number: int, fd: int, *, private: bool = False) -> None:
        """Map a block whose descriptor has arrived, and close the descriptor.

        A private mapping shares the pages until one is written to: what a worker changes, it changes for itself.
        """
        from corewise.builtin.spawn.mapping import Mapping

        try:
            self._mappings[number] = Mapping(fd, private=private)
        finally:
            os.close(fd)

    def view(self, number: int, offset: int, size: int) -> memoryview:
        """Look at a part of a block."""
        return self._export(self._mappings[number], None)[offset : offset + size]

    def buffers(self, number: int, spans: Sequence[tuple[int, int]], *, lent: bool = True) -> list[memoryview]:
        """Return the buffers of a message; once no array is over them, a lent block's number is in ``freed``."""
        whole = self._export(self._mappings[number], number if lent else None)
        return [whole[offset : offset + size] for offset, size in spans]

    def _export(self, mapping: Any, number: int | None) -> memoryview:
        """Return the memory of a mapping, which lives at least as long.

        Arrays keep a ctypes array alive, the one exporter of memory in the standard library that can be watched by a
        weak reference and stays alive behind a memoryview of a memoryview.
        """
        from weakref import ref

        exporter = mapping.array()
        if number is None:
            return memoryview(exporter)
        freed, references = self.freed, self._references

        def dead(reference: object) -> None:
            references.pop(id(reference), None)
            freed.append(number)

        reference = ref(exporter, dead)
        references[id(reference)] = reference
        return memoryview(exporter)

    def take_freed(self) -> list[int]:
        """Return the numbers of the blocks that nobody uses any more, once."""
        freed = self.freed[:]
        del self.freed[: len(freed)]
        return freed

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop the mappings of blocks that their owner has closed."""
        for number in numbers:
            self._mappings.pop(number, None)
