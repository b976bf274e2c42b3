"""Paths that match a pattern as items."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import attrs

from corewise.cli.usage import UsageError

__all__ = ["Files"]


@attrs.frozen
class Files:
    """Every file that matches a pattern is an item: its path as text, sorted.

    The paths are listed once, before the first item runs. A resumed run must find the same paths; what is in the files
    is the function's own business.

    Attributes:
        paths: The paths.
    """

    paths: tuple[str, ...]
    resumable: bool = attrs.field(default=True, init=False)

    @classmethod
    def matching(cls, pattern: str, exclude: tuple[str, ...] = (), own: tuple[Path, ...] = ()) -> Files:
        """List the files that match.

        Args:
            pattern: As ``glob.glob`` has it; ``**`` matches any number of directories, ``~`` is the home directory.
            exclude: Patterns of whole paths to leave out; ``*`` matches ``/`` too.
            own: Files that the run itself writes, left out as well.

        Raises:
            UsageError: No file matches.
        """
        written = {identity for path in own if (identity := _identity(path)) is not None}
        found = sorted(
            path
            for path in glob.glob(os.path.expanduser(pattern), recursive=True)  # noqa: PTH111, PTH207 - text stays text
            if os.path.isfile(path)  # noqa: PTH113 - the same: a Path would drop a leading ./
            and not any(fnmatch.fnmatchcase(path, left_out) for left_out in exclude)
            and not (written and _identity(path) in written)
        )
        if not found:
            raise UsageError(f"--files {pattern}: no file matches; quote the pattern, and use ** for sub-directories")
        return cls(tuple(found))

    def items(self) -> Generator[Any, None, None]:
        """Yield the paths."""
        yield from self.paths

    def identity(self) -> Mapping[str, Any]:
        """Return the digest of the list of paths."""
        names = "\n".join(self.paths).encode(errors="surrogateescape")
        return {"kind": "Files", "count": len(self.paths), "sha256": hashlib.sha256(names).hexdigest()}

    def total(self) -> int | None:
        """Return the number of paths."""
        return len(self.paths)


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Return what tells a file, whatever links lead to it; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - text stays text
    except OSError:
        return None
    return found.st_dev, found.st_ino
