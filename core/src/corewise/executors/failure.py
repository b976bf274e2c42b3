"""What stands in the place of a result where a map was told to return failures."""

from __future__ import annotations

import attrs

__all__ = ["Failure", "with_index"]


@attrs.frozen
class Failure:
    """The failure of one item, in the place of its result (``on_error="return"``).

    Attributes:
        index: The item's place in the input, from 0.
        error: What it raised, with the remote traceback as its cause where it ran elsewhere.
    """

    index: int
    error: BaseException

    def reraise(self) -> None:
        """Raise the item's error.

        Raises:
            BaseException: ``error`` itself.
        """
        raise self.error


def with_index(error: BaseException, index: int) -> BaseException:
    """Return the error to raise for an item: itself, with the item's index as a note."""
    if isinstance(error, StopIteration):
        # Raised from an iterator it would end the consumer's loop without a word.
        replacement = RuntimeError("map: the item raised StopIteration")
        replacement.__cause__ = error
        error = replacement
    note = f"map: item {index}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return error
