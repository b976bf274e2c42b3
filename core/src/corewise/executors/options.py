"""The options of ``map``, checked in one place."""

from __future__ import annotations

import threading
from typing import Any, Literal

import attrs

__all__ = ["MapOptions", "OnError"]

OnError = Literal["raise", "return", "skip"]


def _count(minimum: int) -> Any:
    def check(_: MapOptions, attribute: attrs.Attribute[int], value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"map: {attribute.name}: must be an integer, got {value!r}")
        if value < minimum:
            raise ValueError(f"map: {attribute.name}: must be at least {minimum}, got {value}")

    return check


def _seconds(_: MapOptions, attribute: attrs.Attribute[float], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"map: {attribute.name}: must be a number of seconds, got {value!r}")
    if not value >= 0 or (attribute.name == "item_timeout" and value == 0):
        raise ValueError(f"map: {attribute.name}: must be a positive number of seconds, got {value!r}")


def _waitable(value: Any) -> Any:
    """Take more seconds than any lock can wait, infinity included, for no limit."""
    return None if isinstance(value, int | float) and value > threading.TIMEOUT_MAX else value


def _on_error(_: MapOptions, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in ("raise", "return", "skip"):
        raise ValueError(f"map: {attribute.name}: allowed are 'raise', 'return' and 'skip', got {value!r}")


@attrs.frozen(kw_only=True)
class MapOptions:
    """How a map runs; ``Executor.map`` documents each option.

    Raises:
        TypeError: An option of a wrong type; the message names the option and the value.
        ValueError: An option out of its range.
    """

    timeout: float | None = attrs.field(
        default=None, converter=_waitable, validator=attrs.validators.optional(_seconds)
    )
    chunksize: int | None = attrs.field(default=None, validator=attrs.validators.optional(_count(1)))
    buffersize: int | None = attrs.field(default=None, validator=attrs.validators.optional(_count(1)))
    ordered: bool = True
    on_error: OnError = attrs.field(default="raise", validator=_on_error)
    retries: int = attrs.field(default=0, validator=_count(0))
    item_timeout: float | None = attrs.field(
        default=None, converter=_waitable, validator=attrs.validators.optional(_seconds)
    )
