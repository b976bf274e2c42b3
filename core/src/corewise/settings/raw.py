"""What sources hand over: values in their raw form, each with its origin, layer upon layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from corewise.settings.app import COREWISE, App
from corewise.settings.model import Origin

__all__ = ["KeyPath", "Layer", "RawSettings", "RawValue", "overlap"]

KeyPath = tuple[str, ...]
"""A key, part by part: ``("backends", "torch", "threads")``."""


@attrs.frozen
class RawValue:
    """A value as a source gave it.

    Attributes:
        value: Never a table: tables are taken apart into their keys. An empty table stays as it is.
        origin: Where it was found.
        text: Whether it is text of an environment variable, which converts leniently.
        elements: Origins of the elements of an array, where they differ from the array's own.
    """

    value: Any
    origin: Origin
    text: bool = False
    elements: tuple[Origin, ...] = ()


@attrs.frozen
class Layer:
    """All values of one source.

    Attributes:
        values: By key path.
        problems: What is wrong with the source itself, one line each.
        doubtful: Keys and tables of which nobody knows what it says because of that; the empty path is all of it.
    """

    values: dict[KeyPath, RawValue] = attrs.field(factory=dict)
    problems: tuple[str, ...] = ()
    doubtful: tuple[KeyPath, ...] = ()

    @classmethod
    def unreadable(cls, problem: str) -> Layer:
        """Return the layer of a source that cannot be read."""
        return cls(problems=(problem,), doubtful=((),))


@attrs.frozen
class RawSettings:
    """The values of all sources.

    Attributes:
        layers: The sources, strongest first.
        app: Whose names they go by.
    """

    layers: tuple[Layer, ...] = ()
    app: App = COREWISE

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the sources themselves, strongest source first."""
        return tuple(problem for layer in self.layers for problem in layer.problems)

    def values(self) -> Iterator[tuple[KeyPath, RawValue]]:
        """Yield every value of every source, strongest source first."""
        for layer in self.layers:
            yield from layer.values.items()

    def merged(self) -> dict[KeyPath, RawValue]:
        """Return the value that holds for each key.

        Where one source gives a table what another gives as one value, the stronger source decides alone.
        """
        merged: dict[KeyPath, RawValue] = {}
        for layer in self.layers:
            stronger = list(merged)
            merged |= {
                path: value
                for path, value in layer.values.items()
                if not any(overlap(path, other) for other in stronger)
            }
        return merged


def overlap(path: KeyPath, other: KeyPath) -> bool:
    """Whether one of two keys is the other, or inside of it."""
    shorter = min(len(path), len(other))
    return path[:shorter] == other[:shorter]
