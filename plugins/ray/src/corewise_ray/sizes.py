"""How large items and results are, as far as can be seen at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["SECONDS_PER_BYTE", "visible_bytes"]

SECONDS_PER_BYTE = 1e-9
"""What it costs to copy a byte into the object store, roughly: one pass over memory."""

_SMALL = frozenset({bool, complex, float, int, type(None)})


def visible_bytes(parts: Sequence[Any]) -> int:
    """Return the bytes of the arrays, tensors, tables and texts among the parts themselves."""
    if {*map(type, parts)} <= _SMALL:
        return 0
    return sum(len(part) if isinstance(part, bytes | str) else _array_bytes(part) for part in parts)


def _array_bytes(part: Any) -> int:
    try:
        size = getattr(part, "nbytes", 0)
    except Exception:  # noqa: BLE001 - a class may compute it, and fail: torch does for sparse tensors
        return 0
    return size if isinstance(size, int) else 0
