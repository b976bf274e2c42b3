"""The one form that every complaint about a setting has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["MISSING", "dotted", "problem"]

MISSING: Any = object()
"""Stands for a value that is not to be shown."""


def problem(
    source: object, key: str, wrong: str, *, got: Any = MISSING, allowed: str = "", meant: Iterable[str] = ()
) -> str:
    """Return ``source: key: what is wrong, got VALUE; allowed …; did you mean …?``.

    Args:
        source: Where the value comes from.
        key: The dotted key; empty where the source as a whole is wrong.
        wrong: What is wrong with it.
        got: The value, shown as Python would write it, cut at 80 characters.
        allowed: What is allowed instead.
        meant: What the user may have meant, best first.
    """
    line = f"{source}: {key}: {wrong}" if key else f"{source}: {wrong}"
    if got is not MISSING:
        shown = repr(got)
        line += f", got {shown if len(shown) <= 80 else shown[:79] + '…'}"
    if allowed:
        line += f"; allowed {allowed}"
    if guess := " or ".join(meant):
        line += f"; did you mean {guess}?"
    return line


def dotted(path: Iterable[str | int]) -> str:
    """Return a key path as written in a file: ``backends.torch.sizes[1]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
