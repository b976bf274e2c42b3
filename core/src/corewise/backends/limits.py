"""Limiting the threads of all backends of a process: now, later, in its threads and in its children."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, MutableMapping

import attrs

from corewise.backends.attempts import Attempts
from corewise.backends.contract import Backend, Scope
from corewise.backends.counts import forget_other_threads
from corewise.backends.demands import Demands
from corewise.backends.exports import additions, foreign
from corewise.backends.imports import ImportWatch
from corewise.backends.of_thread import LimitsOfThread
from corewise.backends.outcomes import Outcome, OutcomeState
from corewise.backends.plan import demand, start_needed, variables
from corewise.backends.reach import Place, TemporaryLimits, in_force
from corewise.backends.temporary import TemporaryLimit, asked_threads
from corewise.errors import BackendWarning, warn
from corewise.settings.model import ParallelConfig

__all__ = ["BackendLimits"]

# One lock for all that limits threads in this process, because the counts belong to the process. Whoever forks holds
# it, so that the child finds no limit half begun.
_lock = threading.RLock()


def _before_fork() -> None:
    _lock.acquire()


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - threads that wait for it do not exist in the child
    _lock = threading.RLock()
    forget_other_threads()
    in_force.forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


class BackendLimits:
    """The limits of the backends in this process.

    Every method may be called from any thread; one lock guards all state and every call of a backend. Limits may
    overlap in any order; when the last one has ended every count is what it was. As long as one holds, imports are
    watched, so that it reaches a library that comes later.

    Args:
        backends: The backends, by name; the order decides who names a variable first.
        config: The resolved settings of this process.
        environ: The environment of this process.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        config: ParallelConfig,
        environ: MutableMapping[str, str] = os.environ,
    ) -> None:
        self.backends: dict[str, Backend] = dict(backends)
        self.config = config
        self._environ = environ
        with _lock:
            self._attempts = Attempts(self.backends)
        self._counts, self._attempt = self._attempts.counts, self._attempts.attempt
        self._demands = Demands(self.backends, config, environ)
        self._base = object()
        self._local = threading.local()
        self._active: set[object] = set()
        self._adopted: set[object] = set()
        self._entered: set[object] = set()
        imports = [name for backend in self.backends.values() for name in backend.imports]
        self._watch = ImportWatch(imports, self._imported)

    def apply(self) -> None:
        """Limit the process to its settings, once: the libraries that are loaded, and those that come later.

        Warns of every backend that refuses, or whose pool was built too late. Where another thread did it before, it
        limits the calling thread: of some libraries each thread has a count of its own, which no other can change.
        """
        with _lock:
            if self._demands.begun:
                self._adopt_thread()
                return
            self._settle()
            self._base = self._local.base = object()
            self._begin(self._base, self._demands.begin(), process=True)
            outcomes = self.outcomes
        for outcome in outcomes:
            if outcome.state in {OutcomeState.FAILED, OutcomeState.TOO_LATE}:
                warn(f"backend {outcome}; see `corewise doctor`", BackendWarning)

    def restore(self) -> None:
        """Give back what ``apply`` found, in reverse order: variables first, then counts. Pools stay as built."""
        with _lock:
            if self._demands.begun:
                self._demands.end()
                self._end(self._base)
                for token in tuple(self._adopted):
                    self._end(token)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of each backend, with the counts of the calling thread, read from the libraries now."""
        with _lock:
            self._look()
            self._release_claimed()
            return tuple(self._attempts.outcome(each, self._demands.of(each)) for each in self.backends.values())

    def limit(self, backends: int | Mapping[str, int]) -> TemporaryLimit:
        """Return a limit that holds for a while, whatever the settings say of the count of a backend.

        A backend whose count belongs to the process follows the thread that asks for least; see ``corewise.limit``.

        Args:
            backends: Threads of every backend that the settings do not leave alone by name, at least 1; or threads by
                the backend's name.

        Raises:
            UnknownPluginError: There is no backend of this name.
            SettingsError: A number is not positive.
        """
        asked = asked_threads(backends, self.backends, self.config)
        return TemporaryLimit(lambda: self._begin_temporary(asked), self._end)

    @property
    def place(self) -> Place:
        """Where the calling thread stands among worker threads: what ``enter_worker`` wants to know."""
        return in_force.here

    @property
    def temporary(self) -> dict[str, int]:
        """How many threads each backend may have at most, by the limits in force, in what the calling thread starts."""
        with _lock:
            return in_force.most(in_force.here)

    def under_temporary(self, config: ParallelConfig) -> ParallelConfig:
        """Return the settings for a process that is started now: it has no way to look for limits that begin or end."""
        most = self.temporary
        for name, threads in config.limits.items():
            most[name] = min(threads, most.get(name, threads))
        return attrs.evolve(config, limits=most)

    def enter_worker(self, config: ParallelConfig, above: Place = ()) -> None:
        """Limit the calling worker thread to its share of the machine, until ``leave_worker`` or its end.

        Args:
            config: Its settings.
            above: The place of the thread that opened its executor.
        """
        token = object()
        self._shares.tokens.append(token)
        with _lock:
            self._entered.add(token)
            in_force.enter(above)
            demands = {name: demand(each, config, self._environ).threads for name, each in self.backends.items()}
            self._begin(token, {name: n for name, n in demands.items() if n is not None}, process=False)
            self._follow()

    def leave_worker(self) -> None:
        """End the newest share of the calling thread; nothing where it has none."""
        if self._shares.tokens:
            with _lock:
                self._end(self._shares.tokens.pop())
                in_force.leave()
                self._follow()

    def refresh_worker(self) -> None:
        """Heed, in the calling worker thread, libraries that came, limits that began or ended; else costs nothing."""
        if getattr(self._local, "news", 0) != in_force.news:
            self._renew()
            with _lock:
                self._follow()

    def _begin_temporary(self, asked: Mapping[str, int]) -> object:
        limits = TemporaryLimits(asked, in_force.here)
        try:
            with _lock:
                in_force.add(limits)
                self._begin(limits, asked, process=False)
        except BaseException:
            self._end(limits)
            raise
        return limits

    def _follow(self) -> None:
        """Let those limits of other threads hold in the calling thread that reach it as a worker, and no others."""
        self._local.news = in_force.news
        reaching = in_force.reaching(in_force.here) if in_force.here else []
        others = [limits for limits in reaching if limits.holder != threading.get_ident()]
        self._shares.follow(others, self._begin_following)

    def _begin_following(self, limits: TemporaryLimits) -> object:
        token = object()
        self._active.add(token)
        for name in limits.threads.keys() & self._counts.keys():
            self._attempt(name, self._counts[name].follow, token, limits.threads[name], limits.holder)
        return token

    def _end(self, token: object) -> None:
        with _lock:
            if token not in self._active:
                return
            if isinstance(token, TemporaryLimits):
                in_force.remove(token)
            for name in reversed(self._counts):
                self._attempt(name, self._counts[name].end, token)
            self._active.discard(token)
            self._adopted.discard(token)
            self._entered.discard(token)
            if not self._active:
                self._watch.remove()

    def child_env(self, config: ParallelConfig, defaults: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the whole environment for a process that has not started.

        Variables that the user set are passed on as they are, and nothing non-positive is added.

        Args:
            config: The child's settings.
            defaults: Variables that plugins set for it: the user's own go before them, and they before the limits.
        """
        with _lock:
            inherited = foreign(self._environ)
        environ = {**(defaults or {}), **inherited}
        return environ | additions(environ, variables(self.backends.values(), config, environ))

    def needs_start(self, config: ParallelConfig) -> tuple[bool, tuple[str, ...]]:
        """Tell when a process with these settings has to call ``apply`` itself to be limited as asked.

        Returns:
            Whether at once; if not, before the import of which modules at the latest.
        """
        return start_needed(self.backends.values(), config, self.child_env(config))

    @property
    def _shares(self) -> LimitsOfThread:
        shares: LimitsOfThread = self._local.__dict__.setdefault("shares", LimitsOfThread(self._end))
        return shares

    def _begin(self, token: object, asked: Mapping[str, int], *, process: bool) -> None:
        self._look()
        self._release_claimed()
        self._active.add(token)
        self._watch.install()
        for name, threads in asked.items():
            self._attempt(name, self._counts[name].begin, token, threads, process=process)

    def _adopt_thread(self) -> None:
        """Limit the calling thread as another one has limited the process, until that ends or the thread does."""
        if getattr(self._local, "base", None) is self._base:
            return
        token = object()
        self._local.base = self._base
        self._local.adopted = LimitsOfThread(self._end, token)
        self._adopted.add(token)
        self._active.add(token)
        for name, count in self._counts.items():
            self._attempt(name, count.adopt, token)

    def _look(self) -> None:
        for look in {backend.look for backend in self.backends.values()}:
            look()

    def _imported(self, _: str) -> None:
        with _lock:
            in_force.news += 1
            self._renew()

    def _renew(self) -> None:
        with _lock:
            self._release_claimed()
            for name, count in self._counts.items():
                self._attempt(name, count.renew)

    def _release_claimed(self) -> None:
        """Leave libraries alone that have just come and for which the user has set a variable of his own meanwhile."""
        for name in self._demands.claimed():
            for token in (*self._entered, *self._adopted, self._base):
                self._attempt(name, self._counts[name].end, token)

    def _settle(self) -> None:
        """Ask the libraries that are here for their counts: some read their variables with the first question."""
        self._look()
        for backend in self.backends.values():
            if backend.scope is not Scope.ONCE and backend.loaded():
                self._attempts.live(backend)
