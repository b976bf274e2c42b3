"""Rows to standard output, or to a device or pipe that was named: what is written is out of our hands."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import BinaryIO

from corewise.cli.outputs.parts import PartFile
from corewise.cli.outputs.ranges import Ranges
from corewise.cli.usage import writing

__all__ = ["StreamOutput", "claim_standard_output"]


def claim_standard_output() -> tuple[BinaryIO, Callable[[], None]]:
    """Take standard output for rows alone; whatever else prints, child processes included, prints to standard error.

    Returns:
        The stream for rows, and what gives standard output back.

    Raises:
        OutputError: It is closed, or takes no more.
    """
    printed = sys.stdout
    with writing():
        printed.flush()
    rows = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def give_back() -> None:
        sys.stdout = printed
        os.dup2(rows.fileno(), 1)

    return rows, give_back


class StreamOutput:
    """Rows to a stream, failures to a file of their own or to standard error.

    Args:
        stream: Where rows go; it is closed in the end.
        errors: Where records of failures go, if anywhere.
        give_back: Called before the stream is closed.
    """

    complete = False

    def __init__(
        self, stream: BinaryIO, errors: PartFile | None = None, give_back: Callable[[], None] | None = None
    ) -> None:
        self.done: Ranges = Ranges()
        self.failed: dict[str, int] = {}
        self.errors_name: str | None = errors.shown if errors else None
        self._stream = stream
        self._errors = errors
        self._give_back = give_back
        self._interactive = stream.isatty()

    def row(self, index: int, line: bytes) -> None:
        """Write the row; a person sees it at once."""
        self._stream.write(line)
        self.done.add(index)
        if self._interactive:
            self._stream.flush()

    def failure(self, index: int, error: str, line: bytes | None) -> None:
        """Count the failure, and write its record where there is a file for it."""
        self.failed[error] = self.failed.get(error, 0) + 1
        self.done.add(index)
        if line is not None and self._errors is not None:
            self._errors.write(line)

    def finish(self) -> None:
        """Write what waits to be written, and let the file of failures appear."""
        if self._errors is not None:
            self._errors.commit()
        try:
            self._stream.flush()
        finally:
            self._close()

    def abandon(self, *, resumable: bool) -> str:  # noqa: ARG002 - what went into a stream cannot be taken up again
        """Do the same as ``finish``, as far as it can be done."""
        if not self._stream.closed:
            with contextlib.suppress(OSError):
                self.finish()
        return ""

    def _close(self) -> None:
        if self._give_back is not None:
            self._give_back()
        # What could not be written is not tried again: closing would, and fail once more.
        with contextlib.suppress(OSError):
            self._stream.close()
