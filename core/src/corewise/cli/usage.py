"""Exit codes, and the error that ends a command with one clear line."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from corewise.cli.streams import NoOutput

__all__ = ["ExitCode", "InputError", "OutputError", "UsageError", "writing"]


class ExitCode(enum.IntEnum):
    """What the command line returns to its caller."""

    OK = 0
    """Everything was done, nothing was found."""
    FAILED = 1
    """Items failed, or doctor found something."""
    USAGE = 2
    """The command could not be carried out as it was written."""
    INTERRUPTED = 130
    """Ctrl-C: 128 and the number of SIGINT, as shells have it."""
    BROKEN_PIPE = 141
    """The reader of standard output went away: 128 and the number of SIGPIPE."""
    TERMINATED = 143
    """Asked to end: 128 and the number of SIGTERM."""


class UsageError(Exception):
    """Something that the user can mend. Its text is one line that names the source, the value and the mend."""


class OutputError(UsageError):
    """Standard output takes no more."""


@contextmanager
def writing() -> Iterator[None]:
    """Turn the errors of writing to standard output into lines; that its reader went away is none.

    Raises:
        OutputError: It is closed, or could not be written.
    """
    if isinstance(sys.stdout, NoOutput):
        raise OutputError("standard output: closed; send it elsewhere")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: cannot be written ({error.strerror}): send it elsewhere") from error


class InputError(UsageError):
    """The input is malformed at one place; the items before it are done."""
