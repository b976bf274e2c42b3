"""The journal of a run: what was run, and which items are whole in the part files. A resumed run begins from it.

The journal is one small JSON document, replaced atomically. Whatever it says is on disk was synchronised before it was
written, so after a loss of power it is behind the part files, never ahead of them: bytes that it does not know are cut
off, and their items run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from corewise.cli.outputs.ranges import Ranges
from corewise.cli.usage import UsageError

__all__ = ["Journal", "JournalState", "differences"]

_VERSION = 1


@attrs.define
class JournalState:
    """What a journal says.

    Attributes:
        identity: What was run on what, as nested text and numbers.
        done: Indexes of the items that need not run again.
        failed: How many items failed, by type of error.
        rows_size: Bytes of the rows' part file that are whole.
        errors_size: The same for the errors' part file; None where there is none yet.
        complete: Whether every item is done, and only names are left to be changed.
    """

    identity: Mapping[str, Any]
    done: Ranges = attrs.field(factory=Ranges)
    failed: dict[str, int] = attrs.field(factory=dict)
    rows_size: int = 0
    errors_size: int | None = None
    complete: bool = False

    def to_json(self) -> str:
        """Return the state as text."""
        record = attrs.asdict(self, recurse=False) | {"done": self.done.as_pairs(), "version": _VERSION}
        return json.dumps(record)

    @classmethod
    def from_json(cls, text: str) -> JournalState:
        """Read the state from text."""
        record = json.loads(text)
        if record.pop("version", None) != _VERSION:
            raise ValueError("it was written by another version of corewise")
        return cls(**record | {"done": Ranges((start, stop) for start, stop in record["done"])})


@attrs.frozen
class Journal:
    """The file that holds a ``JournalState``.

    Attributes:
        path: Of the file.
    """

    path: Path

    def load(self) -> JournalState | None:
        """Return what the journal says, or None where there is none.

        Raises:
            UsageError: There is one, and it cannot be read.
        """
        try:
            return JournalState.from_json(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{self.path}: not a journal to resume from: {error}; delete it to begin anew") from error

    def save(self, state: JournalState) -> None:
        """Replace the journal, atomically."""
        fresh = self.path.with_name(self.path.name + ".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(state.to_json())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)

    def delete(self) -> None:
        """Delete the journal: the run has ended well."""
        self.path.unlink(missing_ok=True)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two identities, as the names of their top-level parts.

    Example:
        >>> differences({"input": {"sha256": "1"}, "limit": None}, {"input": {"sha256": "2"}, "limit": None})
        ['input']
    """
    return [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
