"""What calls the pool's thread, and interrupts whoever polls."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

__all__ = ["Bell"]


class _Descriptor:
    """An eventfd; it is open as long as anybody has hold of it."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.fd)


class Bell:
    """Calls the pool's thread where it listens, and whoever polls where they poll.

    Calling takes no lock, so a finalizer may do it, whatever the thread that it interrupts is in the middle of.
    ``SimpleQueue.put`` may run within itself, and a descriptor that somebody is about to write to stays open.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._descriptor: _Descriptor | None = None

    def open(self) -> int:
        """Return the descriptor that is readable once whoever polls is interrupted."""
        self._descriptor = _Descriptor()
        return self._descriptor.fd

    def close(self) -> None:
        """Interrupt nobody any more."""
        self._descriptor = None

    def call(self) -> None:
        """Call the pool's thread, which listens or will."""
        self._calls.put(None)

    def listen(self, seconds: float | None = None) -> bool:
        """Wait until the pool's thread is called, however often; False where it was not in that time."""
        try:
            self._calls.get(timeout=seconds)
        except Empty:
            return False
        with suppress(Empty):
            while True:
                self._calls.get_nowait()
        return True

    def interrupt(self) -> None:
        """Interrupt whoever polls, or polls next."""
        descriptor = self._descriptor
        if descriptor is not None:
            with suppress(BlockingIOError):
                os.eventfd_write(descriptor.fd, 1)

    def interrupted(self) -> None:
        """Note that whoever polls has been interrupted."""
        descriptor = self._descriptor
        if descriptor is not None:
            with suppress(BlockingIOError):
                os.eventfd_read(descriptor.fd)
