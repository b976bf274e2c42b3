"""The count of one backend, by scope: of the process, of each thread, or once and for all.

The three classes have the same methods. ``begin`` and ``end`` bracket a limit, for the whole process or for the calling
thread; ``renew`` applies what holds to a library that was loaded meanwhile; ``wanted`` is what should hold in the
calling thread. None is safe for several threads by itself: ``BackendLimits`` holds a lock.

A count belongs to the process: two equal backends, those of the runtime before ``reset`` and of the one after, share
it, because limits of the older one may end after the newer one has begun.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from corewise.backends.contract import Backend, Scope
from corewise.backends.fallback import Fallback
from corewise.backends.stack import LimitStack

__all__ = ["Count", "count_of", "forget_other_threads"]


class Count(Protocol):
    """The count of one backend, whatever its scope."""

    @property
    def wanted(self) -> int | None:
        """The count that should hold in the calling thread; None without a limit."""

    def begin(self, token: object, threads: int, *, process: bool) -> None:
        """Begin a limit: for the whole process, or because the calling thread asks for it."""

    def end(self, token: object) -> None:
        """End a limit; nothing where it did not begin."""

    def adopt(self, token: object) -> None:
        """Limit the calling thread as the process is, where another thread limited the process."""

    def follow(self, token: object, threads: int, holder: int) -> None:
        """Let a limit hold in the calling thread, too, for which another thread asked: the ``holder``."""

    def renew(self) -> None:
        """Apply what holds to a library that was loaded meanwhile."""


def count_of(backend: Backend) -> Count:
    """Return the count of the backend: one that fits its scope, or the one that an equal backend has already."""
    match backend.scope:
        case Scope.ONCE:
            return _OnceCount(backend)
        case Scope.PROCESS:
            kind: type[_ProcessCount | _ThreadCount] = _ProcessCount
        case Scope.THREAD:
            kind = _ThreadCount
    found = next((count for count in _counts if count.backend == backend), None) or kind(backend)
    _counts.add(found)
    return found


_counts: weakref.WeakSet[_ProcessCount | _ThreadCount] = weakref.WeakSet()


def forget_other_threads() -> None:
    """End, in a forked child, the limits that other threads of its parent asked for."""
    for count in list(_counts):
        count.forget_other_threads()


class _ProcessCount:
    """One count for the process."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._stack = LimitStack(backend)

    @property
    def wanted(self) -> int | None:
        return self._stack.wanted

    def begin(self, token: object, threads: int, *, process: bool) -> None:
        self._stack.push(token, None if process else threading.get_ident(), threads)

    def end(self, token: object) -> None:
        self._stack.pop(token)

    def adopt(self, token: object) -> None:
        """Do nothing: the limit of the process holds in every thread."""

    def follow(self, token: object, threads: int, holder: int) -> None:
        """Do nothing: the limit of any thread holds in every thread."""

    def renew(self) -> None:
        self._stack.renew()

    def forget_other_threads(self) -> None:
        """End the limits of threads that a forked child does not have."""
        self._stack.keep((None, threading.get_ident()))


class _OnceCount:
    """A pool that is built once: it follows the process, and nothing is given back."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._token: object = None
        self.wanted: int | None = None

    def begin(self, token: object, threads: int, *, process: bool) -> None:
        if process:
            self._token, self.wanted = token, threads
            self.renew()

    def end(self, token: object) -> None:
        if token is self._token:
            self._token = self.wanted = None

    def adopt(self, token: object) -> None:
        """Do nothing: all threads share the pool."""

    def follow(self, token: object, threads: int, holder: int) -> None:
        """Do nothing: all threads share the pool."""

    def renew(self) -> None:
        if self.wanted is not None and self.backend.loaded():
            self.backend.limit(self.wanted)


class _ThreadCount:
    """A count for each thread, and one for threads that have none of their own."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._local = threading.local()
        self._fallback = Fallback(backend)
        self._begun: dict[object, LimitStack] = {}

    @property
    def wanted(self) -> int | None:
        own = self._stack().wanted
        return self._fallback.base if own is None else own

    def begin(self, token: object, threads: int, *, process: bool) -> None:
        if not process:
            self.follow(token, threads, threading.get_ident())
            return
        stack = self._begun[token] = self._stack()
        self._fallback.begin_base(token, threads)
        stack.push(token, None, threads)
        self._fallback.renew()

    def follow(self, token: object, threads: int, holder: int) -> None:
        stack = self._begun[token] = self._stack()
        self._fallback.begin()
        stack.push(token, holder, threads)

    def adopt(self, token: object) -> None:
        stack = self._stack()
        if self._fallback.base is not None and not stack.holds_process:
            self._fallback.begin()
            self._begun[token] = stack
            stack.push(token, None, self._fallback.base)

    def end(self, token: object) -> None:
        if (begun := self._begun.pop(token, None)) is None:
            return
        if begun is self._stack():
            begun.pop(token)
        else:  # the count of another thread is out of reach
            begun.forget(token)
        self._fallback.end(token)

    def renew(self) -> None:
        asked = [wanted for stack in self._begun.values() if (wanted := stack.wanted) is not None]
        self._fallback.renew(min(asked, default=None))
        self._stack().renew()

    def forget_other_threads(self) -> None:
        """Drop the limits of threads that a forked child does not have: no count of a thread that is here changes."""
        others = [token for token, stack in self._begun.items() if stack is not self._stack()]
        for token in others:
            if self._fallback.forget(token):
                del self._begun[token]

    def _stack(self) -> LimitStack:
        if (stack := getattr(self._local, "stack", None)) is None:
            stack = self._local.stack = LimitStack(self.backend)
        return stack
