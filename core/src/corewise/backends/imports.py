"""Telling the import of a module that comes later."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["ImportWatch"]

logger: logging.Logger = logging.getLogger("corewise.backends")


class ImportWatch:
    """Calls back right after one of the named modules has been executed, in the thread that imported it.

    It stands first among ``sys.meta_path``, lets the other finders find the module and adds to its loader the call
    back, for this one execution: types, attributes and behaviour of specs and loaders stay as they are, so that
    reloading, ``importlib.util.find_spec`` and lazy loaders work. A module that raises is not reported. An error of
    the call back is logged and never reaches the import.

    The names are fixed when it is made; which names a thread is looking up is kept per thread. No lock is needed.

    Args:
        names: Dotted names of modules.
        called: Gets the module's name.
    """

    def __init__(self, names: Sequence[str], called: Callable[[str], None]) -> None:
        self._names = frozenset(names)
        self._called = called
        self._finding = threading.local()

    def install(self) -> None:
        """Begin to watch."""
        if not any(finder is self for finder in sys.meta_path):
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """End watching. The list is replaced, because an import in another thread may be going through the old one."""
        sys.meta_path = [finder for finder in sys.meta_path if finder is not self]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Find a watched module by the other finders, and add the call back to its loader."""
        if fullname not in self._names:
            return None
        finding: set[str] = self._finding.__dict__.setdefault("names", set())
        if fullname in finding:  # another finder asks all finders, this one included
            return None
        finding.add(fullname)
        try:
            spec = self._find_by_others(fullname, path, target)
        finally:
            finding.discard(fullname)
        if spec is not None and spec.loader is not None:
            self._call_after(spec.loader)
        return spec

    def _find_by_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is not self and find is not None and (spec := find(name, path, target)) is not None:
                return spec if isinstance(spec, ModuleSpec) else None
        return None

    def _call_after(self, loader: Any) -> None:
        execute = getattr(loader, "exec_module", None)
        # A loader that is a class serves all modules of its kind: it is nobody's to change.
        if execute is None or isinstance(loader, type) or getattr(execute, "watch", None) is self:
            return

        def exec_module(module: ModuleType) -> None:
            loader.__dict__.pop("exec_module", None)
            execute(module)
            self._call(module.__name__)

        exec_module.watch = self  # type: ignore[attr-defined]  # one loader may serve many modules: once is enough
        try:
            loader.exec_module = exec_module
        except AttributeError:
            logger.debug("loader %r takes no attribute; what it imports is not told", loader)

    def _call(self, name: str) -> None:
        if name not in self._names:
            return
        try:
            self._called(name)
        except Exception:
            logger.exception("limiting the threads of %s right after its import failed", name)
