"""Keyword arguments as a source, and the place in the user's code that they come from."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from corewise.settings.model import Origin
from corewise.settings.raw import KeyPath, Layer, RawValue

__all__ = ["argument_layer", "calling_line", "leaves"]


def argument_layer(overrides: Mapping[str, Any], caller: str = "") -> Layer:
    """Return what keyword arguments say; an argument that is None says nothing.

    Args:
        overrides: Arguments by name; tables are mappings or instances of their settings class.
        caller: Where they were given, as ``calling_line`` tells.
    """
    place = f" at {caller}" if caller else ""
    return Layer(
        {
            path: RawValue(value, Origin("argument", path[0] + place))
            for path, value in leaves({name: value for name, value in overrides.items() if value is not None})
        }
    )


def leaves(table: Mapping[Any, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value of nested tables with its key path; an empty table counts as a value."""
    for key, value in table.items():
        here = (*path, str(key))
        inner = _as_table(value)
        if inner:
            yield from leaves(inner, here)
        else:
            yield here, value if inner is None else {}


def _as_table(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, type) and attrs.has(type(value)):
        return {
            field.alias or field.name: getattr(value, field.name) for field in attrs.fields(type(value)) if field.init
        }
    return None


def calling_line() -> str:
    """Return file and line of the nearest caller outside of corewise, like ``train.py line 12``; empty if unknown."""
    frame = sys._getframe(1)  # noqa: SLF001 - documented, and the only way that costs nothing
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module != "corewise" and not module.startswith("corewise."):
            return f"{frame.f_code.co_filename} line {frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""
