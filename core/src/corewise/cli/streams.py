"""Standard streams that are closed, as a shell does by ``>&-``, or take no more."""

from __future__ import annotations

import io
import os
import sys

__all__ = ["NoOutput", "give_up", "replace_closed", "say"]


class NoOutput(io.TextIOBase):
    """Stands for a standard output that is closed: what is printed vanishes, as it does where Python has none."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Take no notice."""
        return len(text)


def replace_closed() -> None:
    """Keep the numbers of closed streams from the files of this command, and give Python streams in their place.

    The next file to be opened would get the lowest free number, and whatever prints, workers included, would print
    into it. What is said to nobody vanishes: a command does its work all the same. Nobody reads, though: the null
    device would be an empty input.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_WRONLY), True)
    if sys.stdout is None:
        sys.stdout = NoOutput()
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def say(text: str) -> None:
    """Print a line to standard error, and give that up for good where it takes no more: the run is worth more."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        give_up(2)


def give_up(number: int) -> None:
    """Let nobody try again at the interpreter's end to write what could not be written: it would be the exit code."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)
