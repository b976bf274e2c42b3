"""Finding the function that ``MODULE:FUNCTION`` names, with one clear line for everything that can be wrong with it."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from corewise.cli.usage import UsageError
from corewise.errors import text_of
from corewise.spelling import did_you_mean

__all__ = ["NamedFunction", "find_function"]


@attrs.frozen
class NamedFunction:
    """A function and where it was found.

    Attributes:
        module: Import name.
        name: Dotted name inside the module.
        directory: Put first on the import path.
        function: The function itself.
        source_digest: SHA-256 of the module's file, None where it has none.
    """

    module: str
    name: str
    directory: str
    function: Callable[[Any], Any] = attrs.field(eq=False, repr=False)
    source_digest: str | None


def find_function(spec: str, directory: Path | None = None) -> NamedFunction:
    """Import what ``spec`` names.

    Args:
        spec: ``MODULE:FUNCTION``; the function may be dotted, as in ``package.module:Class.method``.
        directory: Put first on the import path; the working directory unless given.

    Raises:
        UsageError: The text is no such name, the module cannot be imported, or the function is not there.
    """
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise UsageError(f"{spec}: write MODULE:FUNCTION, as in package.module:function")
    if "/" in module_name or module_name.endswith(".py"):
        dotted = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise UsageError(f"{spec}: {module_name} is a path; write the module's import name, {dotted}:{name}")
    base = str(directory or _working_directory())
    if base not in sys.path:
        sys.path.insert(0, base)
    module = _import(spec, module_name)
    function = _member(spec, module, name)
    if not callable(function):
        raise UsageError(f"{spec}: not a function but {type(function).__name__}, got {function!r:.80}")
    return NamedFunction(module_name, name, base, function, _digest(module))


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"the working directory: {error.strerror}; change to one that is there") from error


def _import(spec: str, name: str) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"{spec}: no module {error.name}{_close_modules(error.name)}") from error
        raise UsageError(_broken(spec, name, error)) from error
    except (Exception, SystemExit) as error:
        raise UsageError(_broken(spec, name, error)) from error


def _broken(spec: str, name: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        where = f"{error.filename} line {error.lineno}"
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename} line {last.lineno}"
    reason = " ".join(text_of(error).split())
    return f"{spec}: importing {name} failed: {type(error).__name__}: {reason} ({where})"


def _close_modules(name: str) -> str:
    parent, _, last = name.rpartition(".")
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    known = {module.name for module in pkgutil.iter_modules(path)} if path or not parent else set()
    return did_you_mean(last, known)


def _member(spec: str, module: ModuleType, name: str) -> Any:
    target: Any = module
    for part in name.split("."):
        if not hasattr(target, part):
            public = [known for known in dir(target) if not known.startswith("_") and callable(getattr(target, known))]
            owner = getattr(target, "__qualname__", module.__name__)
            raise UsageError(f"{spec}: {owner} has no {part}{did_you_mean(part, public)}")
        target = getattr(target, part)
    return target


def _digest(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else None
