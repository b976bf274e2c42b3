"""Anything that a function returns, as JSON text. Runs in workers: it imports next to nothing.

The C encoder of ``json`` does the work. What it cannot encode goes through ``plain``, value by value. Where it still
refuses (NaN, keys like dates and paths), the whole value is rebuilt by ``plain_tree`` and encoded again.

JSON knows neither NaN nor infinity: both become null. Sets are sorted, so that equal results give equal bytes in every
process, whatever its hash seed.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

__all__ = ["encode", "plain", "plain_tree"]

_ATOMS = (str, int, bool, type(None))


def plain(value: Any) -> Any:
    """Return ``value`` in terms of simpler values; what is inside need not be simple yet.

    Args:
        value: An attrs or dataclass instance, enum member, path, date, time, duration (seconds), set, mapping,
            sequence, bytes (Base64), Decimal or UUID (text), or anything with ``tolist()``: a numpy scalar or array, a
            tensor, a pandas series.

    Raises:
        TypeError: The value has no JSON form.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    if (names := _field_names(type(value))) is not None:
        return {name: getattr(value, name) for name in names}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted((plain_tree(member) for member in value), key=_encode)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _base64(value)
    return _of_standard_library(value)


def _field_names(cls: type) -> list[str] | None:
    if (fields := getattr(cls, "__attrs_attrs__", None)) is not None:
        return [field.name for field in fields]
    if (fields := getattr(cls, "__dataclass_fields__", None)) is not None:
        return list(fields)
    return None


def _base64(value: bytes | bytearray | memoryview) -> str:
    import base64

    return base64.b64encode(value).decode("ascii")


def _of_standard_library(value: Any) -> Any:
    import decimal
    import enum
    import uuid
    from collections.abc import Mapping, Sequence
    from datetime import date, time, timedelta

    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"a result of type {type(value).__qualname__} has no JSON form, got {_short(value)}")


def _short(value: Any, width: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[:width]}…"


def plain_tree(value: Any) -> Any:
    """Return ``value`` rebuilt of None, booleans, numbers, text, lists and dicts with text keys; NaN becomes None."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if type(value) in _ATOMS:
        return value
    if isinstance(value, dict):
        return _plain_dict(value)
    if isinstance(value, (list, tuple)):
        return [plain_tree(member) for member in value]
    if isinstance(value, (str, int)):
        return value
    return plain_tree(plain(value))


def _plain_dict(value: dict[Any, Any]) -> dict[str, Any]:
    rebuilt = {_key(key): plain_tree(member) for key, member in value.items()}
    if len(rebuilt) < len(value):
        known: dict[str, Any] = {}
        for key in value:
            if (text := _key(key)) in known:
                raise TypeError(f"two keys of a dict are {text!r} in JSON: {_short(known[text])} and {_short(key)}")
            known[text] = key
    return rebuilt


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    plain_key = plain_tree(key)
    if isinstance(plain_key, str):
        return plain_key
    if isinstance(plain_key, (list, dict)):
        raise TypeError(f"a key of type {type(key).__qualname__} has no JSON form, got {_short(key)}")
    return _encode(plain_key)


_CONVERTED = re.compile(r'"(?:-?\d[^"]*|true|false|null)":')
"""What a key looks like that may have been a number, a boolean or None."""

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain).encode


def encode(value: Any) -> str:
    """Return ``value`` as one line of JSON.

    Raises:
        TypeError: Something in it has no JSON form, or two keys of a dict have the same.
        RecursionError: It contains itself.

    Example:
        >>> from pathlib import PurePosixPath
        >>> encode({"path": PurePosixPath("a/b"), "score": float("nan"), "tags": {"y", "x"}})
        '{"path":"a/b","score":null,"tags":["x","y"]}'
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError):
        return _encode(plain_tree(value))
    if '":' in text and _CONVERTED.search(text):
        plain_tree(value)  # for its answer to keys that collide, which the C encoder does not see
    return text
