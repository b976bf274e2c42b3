"""What belongs to one instance of a class whose methods are batched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["InstanceParts", "instance_parts"]

P = TypeVar("P")

_ATTRIBUTE = "_corewise_parts"
_making = threading.Lock()


class InstanceParts:
    """Parts that were made for one instance; kept in its ``__dict__``, so that they live as long as it does.

    ``_lock`` guards ``_parts``. A copy of the instance gets parts of its own, for ``owner`` tells them apart, and a
    pickled one leaves them behind.

    Args:
        owner: The instance.
    """

    def __init__(self, owner: object = None) -> None:
        self.owner = owner
        self._lock = threading.Lock()
        self._parts: dict[str, Any] = {}

    def get(self, name: str, make: Callable[[], P]) -> P:
        """Return the part of this name, and make it with the first call."""
        with self._lock:
            if name not in self._parts:
                self._parts[name] = make()
            part: P = self._parts[name]
            return part

    def has(self, part: object) -> bool:
        """Say whether this very part is one of them."""
        with self._lock:
            return any(part is other for other in self._parts.values())

    def __reduce__(self) -> tuple[Any, ...]:
        return InstanceParts, ()


def instance_parts(instance: object) -> InstanceParts:
    """Return the parts of an instance.

    Raises:
        TypeError: The instance has no ``__dict__`` to keep them in.
    """
    try:
        attributes = vars(instance)
    except TypeError:
        name = type(instance).__qualname__
        raise TypeError(f"{name} has __slots__ and no __dict__, so its methods cannot be batched: add one") from None
    parts = attributes.get(_ATTRIBUTE)
    if isinstance(parts, InstanceParts) and parts.owner is instance:
        return parts
    with _making:
        parts = attributes.get(_ATTRIBUTE)
        if not isinstance(parts, InstanceParts) or parts.owner is not instance:
            parts = InstanceParts(instance)
            if isinstance(instance, type):  # its attributes can be read only
                type.__setattr__(instance, _ATTRIBUTE, parts)
            else:
                attributes[_ATTRIBUTE] = parts
        return parts
