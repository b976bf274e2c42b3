"""What a backend plugin says and implements: a library whose threads corewise limits."""

from __future__ import annotations

import abc
import enum
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from corewise.settings.model import BackendSettings

__all__ = ["Backend", "Scope", "visible_cpus"]


class Scope(enum.Enum):
    """What one limit reaches."""

    PROCESS = "process"
    """Every thread of the process; may be changed at any time."""
    THREAD = "thread"
    """The calling thread; corewise applies it in every worker thread anew."""
    ONCE = "once"
    """The process, and only before the library's pool is built."""


@attrs.frozen(kw_only=True)
class Backend(abc.ABC):
    """A library whose threads are limited. A plugin subclasses it and returns an instance from ``corewise_backends``.

    Nothing heavy is imported by the module of a plugin: ``loaded`` answers from ``sys.modules`` or the list of loaded
    shared libraries, and the other methods are called only where it says yes (``env`` and ``natural`` always). Four
    methods and two names are enough; the others have a default that fits a library with one count.

    corewise calls the methods of all backends under one lock, so that a backend needs none of its own.

    Attributes:
        name: What the settings call it; an identifier.
        imports: Import names that make it live: importing one of them later applies the limit right after.
        scope: What one limit reaches.
        variables: Environment variables by which a user sets it himself; where one is set by the user, the backend
            is left alone.
        reads: Variables of other backends that its library follows as well: where it is left alone, they are not set in
            this process while it may still be loaded.
        follows: The setting that it takes its count from, where its own table names none.
        settings: The attrs class of the table ``backends.NAME``; extends ``BackendSettings``.
        summary: One line for tables.
    """

    name: str
    imports: tuple[str, ...] = ()
    scope: Scope = Scope.PROCESS
    variables: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    follows: Literal["num_backend_threads", "num_threads"] = "num_backend_threads"
    settings: type[BackendSettings] = BackendSettings
    summary: str = ""

    def __attrs_post_init__(self) -> None:
        # Not validators of the fields: a subclass that gives a field another default would lose them.
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"name of a backend must be an identifier, got {self.name!r}")
        cls = self.settings
        if not isinstance(cls, type) or not issubclass(cls, BackendSettings) or not attrs.has(cls):
            raise TypeError(
                f"settings of backend {self.name!r} must be an attrs class that extends BackendSettings, got {cls!r}"
            )

    @staticmethod  # noqa: B027 - most libraries come with an import
    def look() -> None:
        """Notice libraries that came without an import; asked before a limit begins, once for all who inherit it."""

    @abc.abstractmethod
    def loaded(self) -> bool:
        """Whether the library is live in this process; imports nothing."""

    @abc.abstractmethod
    def env(self, threads: int) -> Mapping[str, str]:
        """The variables that limit a process which has not started yet."""

    @abc.abstractmethod
    def limit(self, threads: int) -> None:
        """Limit the live library now, in its scope.

        With scope ``ONCE`` it does what can be done before the pool is built, and nothing where that is too late:
        corewise reads ``threads`` afterwards and reports it.
        """

    @abc.abstractmethod
    def threads(self) -> int | None:
        """How many threads the live library would use now, asked of the library; None where it cannot say.

        With scope ``ONCE``: None as long as the pool is not built.
        """

    def natural(self) -> int:
        """How many threads the library would take if it were loaded now and nobody limited it.

        A library that was loaded under a limit gets this number when the last limit ends. By default: the first of
        the variables that ``env`` names which holds a number, else the CPUs that the process may run on.
        """
        return number_from(self.env(1)) or visible_cpus()

    def capture(self) -> Any:
        """Return what ``restore`` needs to bring back the present state; by default what ``threads`` says."""
        return self.threads()

    def restore(self, found: Any) -> None:
        """Bring back a captured state; None stands for a library that was not loaded when the limit began."""
        self.limit(found or self.natural())

    def fallback(self) -> int | None:
        """With scope ``THREAD``: the count of threads that have no limit of their own; None where there is no such."""
        return None

    def limit_fallback(self, threads: int) -> None:  # noqa: B027 - most libraries have nothing to do here
        """With scope ``THREAD``: limit the threads that have no limit of their own, where the library can do that."""

    def info(self) -> Mapping[str, Any]:
        """Facts for doctor: version, path of the library, its thread layer."""
        return {}


def visible_cpus() -> int:
    """Return how many CPUs the process may run on: what a library sees that knows nothing of quotas."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def number_from(variables: Iterable[str]) -> int | None:
    """Return the number in the first of these environment variables that holds a positive one.

    OpenMP allows a list, one number for each level of nesting: the first one counts.
    """
    for name in variables:
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return None
