"""Telling what earlier runs left from the files of somebody else, which no run may overwrite or remove."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

from corewise.cli.paths import mode_of
from corewise.cli.usage import UsageError

__all__ = ["begins_as_journal", "begins_as_record", "begins_as_row", "holds_records", "refuse_stranger"]

_RECORD = ["index", "item", "error", "message", "traceback"]


def refuse_stranger(path: Path, ours: Callable[[Path], bool], mend: str) -> None:
    """Raise UsageError if there is something that a run must not write over.

    Args:
        path: Where a run writes.
        ours: Whether a regular file that is not empty was written by an earlier run.
        mend: What to do.
    """
    mode = mode_of(path, f"the run writes it too, so {mend}")
    if mode is None and not path.is_symlink():
        return
    # A run makes regular files: who put a link or a pipe there wants something else.
    regular = mode is not None and stat.S_ISREG(mode) and not path.is_symlink()
    if not regular or (path.stat().st_size and not ours(path)):
        raise UsageError(f"{path}: is there, and no run of corewise map made it; move it away or {mend}")


def holds_records(path: Path) -> bool:
    """Return whether the first line is the record of an item that failed."""
    try:
        with path.open("rb") as file:
            record = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and list(record) == _RECORD


def _beginning(pattern: bytes) -> Callable[[Path], bool]:
    known = re.compile(pattern)

    def begins(path: Path) -> bool:
        try:
            with path.open("rb") as file:
                return known.match(file.read(64)) is not None
        except OSError:
            return False

    return begins


# The beginning is enough for files under construction: their last line may be torn, and it may be the first.
begins_as_row: Callable[[Path], bool] = _beginning(rb'\{"index":\d+,"(item|result)":')
begins_as_record: Callable[[Path], bool] = _beginning(rb'\{"index":\d+,"item":')
begins_as_journal: Callable[[Path], bool] = _beginning(rb'\{"identity": ')
