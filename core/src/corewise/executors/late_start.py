"""Putting off the start of a worker process until something is imported that has to be limited before.

Imported by worker processes before their first task, so it imports as little as possible.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["start_before"]


def start_before(names: Iterable[str], start: Callable[[], None]) -> None:
    """Call ``start`` once, when the first of these modules is about to be imported; now, if one has been already.

    To be called before other threads import anything. A later call takes the place of an earlier one.

    Args:
        names: Dotted names of modules; empty to put nothing off any more.
        start: Makes this process a worker. An error is logged, and never reaches the import.
    """
    sys.meta_path = [finder for finder in sys.meta_path if not isinstance(finder, _Starter)]
    starter = _Starter(frozenset(names), start)
    if not starter.names:
        return
    if any(name in sys.modules for name in starter.names):
        starter.start()
    else:
        sys.meta_path.insert(0, starter)


class _Starter:
    """Stands first among the finders of modules until it has started the worker.

    Threads import different modules at once; the one that empties ``_starts``, which is atomic, starts the worker.
    """

    def __init__(self, names: frozenset[str], start: Callable[[], None]) -> None:
        self.names = names
        self._starts = [start]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Start before a module of these names is found, by the finders that are there afterwards."""
        if fullname not in self.names or not self._starts:
            return None
        self.start()
        for finder in list(sys.meta_path):
            if finder is not self and (spec := finder.find_spec(fullname, path, target)) is not None:
                return spec
        return None

    def start(self) -> None:
        """Start the worker, unless that was done."""
        try:
            start = self._starts.pop()
        except IndexError:
            return
        sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
        try:
            start()
        except Exception:
            import logging

            logging.getLogger("corewise").exception("this worker could not be started, so it is not limited")
