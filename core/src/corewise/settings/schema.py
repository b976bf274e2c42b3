"""JSON schema of the settings, made from the model; and the command that writes it with the reference page.

python -m corewise.settings.schema --write docs/reference
"""

from __future__ import annotations

import datetime as dt
import enum
import inspect
import json
import re
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from corewise.settings import typed
from corewise.settings.model import BackendSettings, ParallelSettings

__all__ = ["field_texts", "json_schema"]

Schema = dict[str, Any]

_SCALARS: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"},
}
_SEQUENCES = (list, tuple, set, frozenset)


def json_schema(*, backends: Mapping[str, type] | None = None, executors: Mapping[str, type] | None = None) -> Schema:
    """Return the schema of ``corewise.toml`` (draft 2020-12).

    Args:
        backends: The settings class of each backend, by name; default none. Other tables may hold what every backend
            has.
        executors: The settings class of each executor, by name; default none. Other tables may hold anything.

    Example:
        >>> json_schema()["properties"]["parallel"]["properties"]["num_cpus"]["type"]
        'integer'
    """
    parallel = _of_class(ParallelSettings)
    parallel["properties"]["backends"] |= _tables(
        backends or {}, _of_class(BackendSettings) | {"additionalProperties": True}
    )
    parallel["properties"]["executors"] |= _tables(executors or {}, {"type": "object"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "corewise.toml",
        "type": "object",
        "properties": {"parallel": parallel},
    }


def field_texts(cls: type) -> dict[str, str]:
    """Return what the docstring of a settings class says of each of its fields, inherited ones included."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        section = re.search(
            r"^Attributes:\n((?:[ ].*\n?|\n)*)", inspect.cleandoc(base.__dict__.get("__doc__") or ""), re.MULTILINE
        )
        for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE):
            texts[name] = " ".join(text.split()).replace("``", "`")
    return texts


def _tables(classes: Mapping[str, type], others: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {name: _of_class(classes[name]) for name in sorted(classes)},
        "additionalProperties": others,
    }


def _of_class(cls: type) -> Schema:
    texts, kinds = field_texts(cls), typed.field_types(cls)
    properties: Schema = {}
    required = []
    for field in attrs.fields(cls):
        if not field.init:
            continue
        key = field.alias or field.name
        properties[key] = _of(kinds[key]) | ({"description": texts[field.name]} if field.name in texts else {})
        if field.default is attrs.NOTHING:
            required.append(key)
        elif (default := _plain(field.default)) is not None:
            properties[key]["default"] = default
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _of(kind: Any) -> Schema:
    kind = typed.unwrapped(kind)  # TOML has no null: what may be None is left out
    origin = get_origin(kind) or kind
    if typed.is_settings_class(kind):
        return _of_class(kind)
    if typed.is_mapping(kind):
        return {"type": "object", "additionalProperties": _of(typed.value_type(kind))}
    if typed.is_union(kind):
        return {"anyOf": [_of(member) for member in get_args(kind) if member is not types.NoneType]}
    if origin in _SEQUENCES:
        return _of_array(origin, get_args(kind))
    return _of_scalar(kind, origin)


def _of_scalar(kind: Any, origin: Any) -> Schema:
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return {"enum": [member.value for member in origin]}
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    return dict(_SCALARS.get(kind, {}))


def _of_array(origin: Any, elements: tuple[Any, ...]) -> Schema:
    if not elements:
        return {"type": "array"}
    if origin is tuple and elements[-1] is not Ellipsis:
        return {"type": "array", "prefixItems": [_of(element) for element in elements], "items": False}
    return {"type": "array", "items": _of(elements[0])}


def _plain(default: Any) -> Any:
    """Return a default as JSON would write it; None where it cannot, or says no more than that nothing is set."""
    if isinstance(default, enum.Enum):
        return default.value
    if isinstance(default, (tuple, set, frozenset, list)) and all(isinstance(x, (str, int, float)) for x in default):
        return list(default)
    return default if isinstance(default, (bool, int, float, str)) else None


def _main(arguments: Iterable[str]) -> None:
    import argparse

    from corewise.settings.reference import reference_page

    parser = argparse.ArgumentParser(
        prog="python -m corewise.settings.schema", description="Print or write the schema."
    )
    parser.add_argument(
        "--write", type=Path, metavar="DIRECTORY", help="write settings.schema.json and settings.md there"
    )
    directory = parser.parse_args(list(arguments)).write
    text = json.dumps(json_schema(), indent=2) + "\n"
    if directory is None:
        sys.stdout.write(text)
        return
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "settings.schema.json").write_text(text, encoding="utf-8")
    (directory / "settings.md").write_text(reference_page(), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1:])
