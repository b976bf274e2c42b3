"""Walking the types of settings classes: which type a key has, and an instance from the values of its keys."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, MutableMapping
from typing import Any, Union, get_args, get_origin

import attrs

from corewise.settings.raw import KeyPath

__all__ = ["build", "field_types", "is_mapping", "is_settings_class", "is_union", "match", "unwrapped", "value_type"]


def is_settings_class(kind: Any) -> bool:
    """Whether a type is an attrs class, so that its keys are its fields."""
    return isinstance(kind, type) and attrs.has(kind)


def is_mapping(kind: Any) -> bool:
    """Whether a type is a table with keys of the user's own."""
    return (get_origin(kind) or kind) in (dict, Mapping, MutableMapping)


def is_union(kind: Any) -> bool:
    """Whether a type is one of several."""
    return get_origin(kind) in (Union, types.UnionType)


def value_type(kind: Any) -> Any:
    """Return the type of a mapping's values."""
    return (get_args(kind) or (str, Any))[1]


def field_types(cls: type) -> dict[str, Any]:
    """Return the type of every key of a settings class, by key: a field's name as its ``__init__`` takes it.

    Raises:
        TypeError: An annotation of the class cannot be resolved.
    """
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise TypeError(f"the settings class {cls.__module__}.{cls.__qualname__} cannot be read: {error}") from error
    return {field.alias or field.name: hints.get(field.name, Any) for field in attrs.fields(cls) if field.init}


def unwrapped(kind: Any) -> Any:
    """Return the type without its ``None``, where exactly one other type is left."""
    if not is_union(kind):
        return kind
    rest = [member for member in get_args(kind) if member is not types.NoneType]
    return rest[0] if len(rest) == 1 else kind


def match(part: str, known: Mapping[str, Any], *, lenient: bool) -> str | None:
    """Return the known name that a part of a key means; variables cannot spell capitals, so text ignores case."""
    if part in known:
        return part
    if not lenient:
        return None
    return next((name for name in known if name.casefold() == part.casefold()), None)


def build(kind: Any, values: Mapping[KeyPath, Any], default: Any = None) -> Any:
    """Return an instance of a type from converted values.

    Args:
        kind: A settings class, a mapping or anything else.
        values: By key path below this place; the empty path stands for the whole.
        default: The instance whose other keys stay as they are; None for a new one.
    """
    if () in values:
        return values[()]
    kind = unwrapped(kind)
    below: dict[str, dict[KeyPath, Any]] = {}
    for path, value in values.items():
        below.setdefault(path[0], {})[path[1:]] = value
    if not is_settings_class(kind):
        return {key: build(value_type(kind), inner) for key, inner in below.items()}
    kinds, names = field_types(kind), {field.alias or field.name: field.name for field in attrs.fields(kind)}
    changes = {key: build(kinds[key], inner, getattr(default, names[key], None)) for key, inner in below.items()}
    return kind(**changes) if default is None else attrs.evolve(default, **changes)
