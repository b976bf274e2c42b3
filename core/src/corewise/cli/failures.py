"""The record of an item that failed."""

from __future__ import annotations

from typing import Any

from corewise.cli.jsonable import encode
from corewise.cli.task import as_line
from corewise.errors import RemoteError, text_of
from corewise.executors.transfer import traceback_of

__all__ = ["error_name", "one_line", "record"]


def error_name(error: BaseException) -> str:
    """Return the name of the error's type, with its module unless that is ``builtins``.

    An error that stands for one that could not travel has the name of the original.
    """
    if isinstance(error, RemoteError) and error.type_name:
        return error.type_name
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def one_line(error: BaseException) -> str:
    """Return the error as ``Type: message`` on one line."""
    return f"{error_name(error)}: {' '.join(text_of(error).split())}".rstrip(": ")


def record(index: int, item: Any, error: BaseException) -> bytes:
    """Return one line of JSON: index, item, error type, message and traceback."""
    fields = {"error": error_name(error), "message": text_of(error), "traceback": traceback_of(error)}
    return as_line(f'{{"index":{index},"item":{_item(item)},{encode(fields)[1:]}')


def _item(item: Any) -> str:
    try:
        return encode(item)
    except (TypeError, ValueError, RecursionError):
        return encode(repr(item))
