"""The resolved settings as rows: key, value, origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import attrs

from corewise.settings.model import Origin, ParallelConfig, ParallelSettings

__all__ = ["Row", "describe"]


class Row(NamedTuple):
    """One resolved value.

    Attributes:
        key: Dotted key.
        value: What holds.
        origin: Where it comes from.
    """

    key: str
    value: Any
    origin: Origin


def describe(config: ParallelConfig) -> list[Row]:
    """Return a row for every setting, plugins' tables included, in the order of the reference.

    Args:
        config: The resolved settings.

    Example:
        >>> config = ParallelConfig(
        ...     executor="serial", executor_reason="", use_ray=False, num_cpus=2, num_threads=2,
        ...     num_backend_threads=1, num_batch_jobs=1,
        ... )
        >>> describe(config)[2][:2]
        ('num_cpus', 2)
    """
    return [
        row
        for field in attrs.fields(ParallelSettings)
        for row in _rows(field.name, getattr(config, field.name), config)
    ]


def _rows(key: str, value: Any, config: ParallelConfig) -> Iterator[Row]:
    if isinstance(value, Mapping) and (value or "." not in key):
        for name in sorted(value):
            yield from _rows(f"{key}.{name}", value[name], config)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            if field.init:
                yield from _rows(f"{key}.{field.alias or field.name}", getattr(value, field.name), config)
    else:
        yield Row(key, value, _origin(key, config))


def _origin(key: str, config: ParallelConfig) -> Origin:
    """Return the origin of a key, or of the nearest table that has one."""
    nearest = key
    while nearest not in config.origins:
        nearest, dot, _ = nearest.rpartition(".")
        if not dot:
            return Origin("plugin default" if "." in key else "default")
    return config.origins[nearest]
