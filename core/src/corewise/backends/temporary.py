"""What ``limit()`` returns, and what may be asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ContextDecorator
from types import TracebackType

from corewise.backends.contract import Backend, Scope
from corewise.errors import BackendWarning, SettingsError, UnknownPluginError, warn
from corewise.settings.model import LARGEST_COUNT, ParallelConfig
from corewise.spelling import did_you_mean

__all__ = ["TemporaryLimit", "asked_threads"]


class TemporaryLimit(ContextDecorator, AbstractContextManager[None]):
    """A limit that holds from ``__enter__`` to ``__exit__``; it may be entered again, also while it holds.

    ``_lock`` guards ``_entered``, what holds now, each with the thread that entered it.

    Args:
        begin: Begins a limit and returns what stands for it.
        end: Ends it.
    """

    def __init__(self, begin: Callable[[], object], end: Callable[[object], None]) -> None:
        self._begin = begin
        self._end = end
        self._lock = threading.Lock()
        self._entered: list[tuple[int, object]] = []

    def __enter__(self) -> None:
        """Begin the limit."""
        entered = threading.get_ident(), self._begin()
        with self._lock:
            self._entered.append(entered)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End what the calling thread entered last; where it entered nothing, what another thread did."""
        with self._lock:
            if not self._entered:
                raise RuntimeError("limit: it does not hold, so it cannot end; use it in a `with` statement")
            mine = [each for each in self._entered if each[0] == threading.get_ident()]
            entered = (mine or self._entered)[-1]
            self._entered.remove(entered)
        self._end(entered[1])


def asked_threads(
    asked: int | Mapping[str, int], backends: Mapping[str, Backend], config: ParallelConfig
) -> dict[str, int]:
    """Return the threads that are asked, by the name of each backend that can be limited for a while.

    Args:
        asked: As ``limit`` has it.
        backends: All backends, by name.
        config: The settings, which say what is to be left alone.

    Raises:
        UnknownPluginError: There is no backend of this name.
        SettingsError: A number is not positive, or larger than any machine can have.
    """
    if not isinstance(asked, Mapping):
        _check("backends", asked)
        settings = {name: config.backends.get(name) or each.settings() for name, each in backends.items()}
        named = {name: asked for name, each in settings.items() if each.enabled and each.threads >= 0}
        return {name: threads for name, threads in named.items() if backends[name].scope is not Scope.ONCE}
    for name, threads in asked.items():
        if name not in backends:
            hint = did_you_mean(name, backends) or f"; there are {', '.join(backends)}"
            raise UnknownPluginError(f"no backend is called {name!r}{hint}")
        _check(f"backends: {name}", threads)
        if backends[name].scope is Scope.ONCE:
            warn(f"the pool of {name} is built once; limit() leaves it alone", BackendWarning)
    return {name: threads for name, threads in asked.items() if backends[name].scope is not Scope.ONCE}


def _check(what: str, threads: object) -> None:
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise SettingsError([f"argument {what}: must be a whole number from 1, got {threads!r}"])
    if threads > LARGEST_COUNT:
        raise SettingsError([f"argument {what}: must be at most {LARGEST_COUNT:,}, got {threads!r}"])
