"""A file under construction: appended to under another name, and given its own name when it is whole."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from corewise.cli.usage import UsageError

__all__ = ["PartFile", "beside", "sync_directory"]


def beside(path: Path, ending: str) -> Path:
    """Return the path of a helper file of ``path``, in the same directory: only there a rename is atomic."""
    return path.with_name(path.name + ending)


class PartFile:
    """``FINAL.part`` while it grows, ``FINAL`` once it is committed. Held by one run at a time, by a lock on the file.

    Args:
        final: The name it gets in the end.
        shown: What messages call it, its path unless given.

    Raises:
        UsageError: It cannot be opened, or another run is writing it.
    """

    def __init__(self, final: Path, shown: str = "") -> None:
        self.final: Path = final
        self.shown: str = shown or str(final)
        self.path: Path = beside(final, ".part")
        self.size: int = 0
        try:
            self._file: BinaryIO = self.path.open("ab")
        except OSError as error:
            raise UsageError(f"{self.shown}: cannot be written: {error.strerror or error}") from error
        self._lock()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UsageError(f"{self.shown}: another run is writing it; wait for it or name another file") from None

    def cut(self, size: int) -> None:
        """Keep the first ``size`` bytes, which are known to be whole, and go on behind them.

        Raises:
            UsageError: There are fewer.
        """
        there = self.path.stat().st_size
        if there < size:
            raise UsageError(f"{self.path}: cannot be resumed: {size:,} bytes were written and {there:,} are left")
        self._file.truncate(size)
        self.size = size

    def write(self, line: bytes) -> None:
        """Append a line."""
        self._file.write(line)
        self.size += len(line)

    def sync(self) -> None:
        """Make all that was written survive a loss of power."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def commit(self) -> None:
        """Give the file its own name, synchronised to disk before."""
        self.sync()
        self.path.replace(self.final)
        self._file.close()

    def close(self) -> None:
        """Close the file and leave it as it is."""
        self._file.close()


def sync_directory(path: Path) -> None:
    """Make renames and deletions in the directory of ``path`` survive a loss of power."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
