"""What is at a path, with one clear line where nobody can tell."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from corewise.cli.usage import UsageError

__all__ = ["mode_of", "same_file"]


def mode_of(path: Path, mend: str = "name another file") -> int | None:
    """Return the mode of what is there, links followed; None where nothing is.

    Args:
        path: A path.
        mend: What to do where it cannot be told.

    Raises:
        UsageError: It cannot be told: the name is too long, links form a loop, or a directory may not be entered.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be used: {getattr(error, 'strerror', None) or error}; {mend}") from error


def same_file(one: Path, other: Path) -> bool:
    """Return whether both name one regular file, by links of any kind too, or one that is not there yet.

    Terminals and pipes are no files in this sense: a command may well read and write one of them.
    """
    try:
        known = one.stat()
        return os.path.samestat(known, other.stat()) and stat.S_ISREG(known.st_mode)
    except OSError:
        # Not Path.resolve(): on Python 3.11 it raises at a loop of links.
        return os.path.realpath(one) == os.path.realpath(other)
