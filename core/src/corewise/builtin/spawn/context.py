"""Context variables, carried to a worker: by the name that a module has for each, because they cannot be pickled."""

from __future__ import annotations

import contextvars
import functools
import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any

from corewise.executors.frozen import ATOMS
from corewise.executors.transfer import dumps

__all__ = ["bind"]

Captured = list[tuple[str, str, Any]]
_homes: dict[contextvars.ContextVar[Any], tuple[str, str] | None] = {}
"""Module and name of each variable that was looked for, None for one that no module holds; entries never change."""

_travelling: dict[tuple[contextvars.ContextVar[Any], type], bool] = {}
"""Whether the values of a variable that have a class can be pickled; entries never change."""
_logger = logging.getLogger("corewise.spawn")


def bind(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a callable that calls ``fn`` with the context variables of the calling code, wherever it is called.

    A variable travels where a module other than ``__main__`` holds it under a name, and values of its class can be
    pickled; those of extension modules often cannot.
    """
    captured: Captured = []
    for variable, value in contextvars.copy_context().items():
        home = _home(variable)
        if home is not None and (type(value) in ATOMS or _can_travel(variable, value)):
            captured.append((*home, value))
    if not captured:
        return fn
    bound = functools.partial(_call, captured, fn)
    bound.defers = getattr(fn, "defers", False)  # type: ignore[attr-defined]  # what the worker asks of the callable
    return bound


def _home(variable: contextvars.ContextVar[Any]) -> tuple[str, str] | None:
    if variable not in _homes:
        _homes[variable] = _find(variable)
    return _homes[variable]


def _can_travel(variable: contextvars.ContextVar[Any], value: Any) -> bool:
    """Try once to pickle a value of its class, and remember whether it could be."""
    kind = variable, type(value)
    if kind not in _travelling:
        try:
            dumps(value)
            _travelling[kind] = True
        except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
            _travelling[kind] = False
            _logger.debug("context variable %r stays behind, its value cannot be pickled: %r", variable.name, error)
    return _travelling[kind]


def _find(variable: contextvars.ContextVar[Any]) -> tuple[str, str] | None:
    for module_name, module in list(sys.modules.items()):
        if module_name in {"__main__", "__mp_main__"}:
            continue
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is variable:
                return module_name, name
    return None


def _call(captured: Captured, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run in the worker: set the variables in a context of the call's own."""

    def run() -> Any:
        for module, name, value in captured:
            getattr(importlib.import_module(module), name).set(value)
        return fn(*args, **kwargs)

    return contextvars.copy_context().run(run)
