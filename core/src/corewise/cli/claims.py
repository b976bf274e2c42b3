"""The files that a run reads and writes, each for one purpose: two purposes for one file would destroy it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import attrs

from corewise.cli.paths import same_file
from corewise.cli.usage import UsageError

__all__ = ["OTHER_ERRORS", "OTHER_OUTPUT", "Claim", "refuse_clashes"]

OTHER_OUTPUT = "name another OUTPUT by -o"
OTHER_ERRORS = "name another file by --errors"


@attrs.frozen
class Claim:
    """A file and what a run wants of it.

    Attributes:
        name: What the user calls it, as in ``-o rows.jsonl``.
        path: The file.
        mend: How to give it another place.
    """

    name: str
    path: Path
    mend: str = ""


def refuse_clashes(claims: Iterable[Claim]) -> None:
    """Raise UsageError if two claims are for one file; the mend is that of the later one."""
    for first, second in itertools.combinations(claims, 2):
        if same_file(first.path, second.path):
            raise UsageError(f"{first.name} and {second.name} are the same file; {second.mend}")
