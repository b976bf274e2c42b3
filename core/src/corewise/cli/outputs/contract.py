"""What an output of ``corewise map`` is: the place where rows and failures go."""

from __future__ import annotations

from typing import Protocol

from corewise.cli.outputs.ranges import Ranges

__all__ = ["Output"]


class Output(Protocol):
    """Takes each item's row or failure once.

    Attributes:
        done: Indexes of the items that are there already.
        failed: How many items failed, by type of error.
    """

    done: Ranges
    failed: dict[str, int]

    @property
    def complete(self) -> bool:
        """Whether an earlier run did every item, and only ``finish`` is left."""

    @property
    def errors_name(self) -> str | None:
        """Where failures are recorded, for people; None where they are not."""

    def row(self, index: int, line: bytes) -> None:
        """Take the row of an item that succeeded."""

    def failure(self, index: int, error: str, line: bytes | None) -> None:
        """Take an item that failed, with the type of its error and the record of it, None where none is kept."""

    def finish(self) -> None:
        """Every item is there: make the output appear."""

    def abandon(self, *, resumable: bool) -> str:
        """The run was cut short: keep what there is, and let the output not appear.

        Args:
            resumable: Whether it makes sense to continue the run later.

        Returns:
            What people need to know of it, to continue a sentence; may be empty.
        """
