"""Limiting the threads of backends by hand: for a while, and for children that a program starts itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from corewise.backends.outcomes import Outcome
from corewise.runtime import current_runtime, get_parallel_config
from corewise.settings.resolve import share

__all__ = ["backend_outcomes", "child_env", "limit"]


def limit(backends: int | Mapping[str, int]) -> AbstractContextManager[None]:
    """Limit the threads of backends for a while; what was found is given back at the end, also after an exception.

    It reaches the libraries that are loaded, and those that are imported meanwhile. Where a library has one count for
    the whole process and several threads limit it, the one that asks for least is heard. Where each thread has a count
    of its own, the limit holds in the calling thread and in worker threads, which heed its begin and its end with
    their next task; asked for inside a worker thread, it reaches those of the executors that were opened there. A pool
    that is built once (polars, tokenizers) is left alone.

    Processes cannot be reached once they run: workers of an executor that is opened under the limit, those of
    ``corewise.map`` and those with an environment by ``child_env`` get at most the limit, and keep it as long as they
    live. A variable that the user set goes before it there.

    The same limit may be entered again, and may decorate a function.

    Args:
        backends: Threads of every backend that the settings do not leave alone by name, at least 1; or threads by
            the backend's name.

    Raises:
        UnknownPluginError: There is no backend of this name.
        SettingsError: A number is not positive.

    Example:
        >>> import corewise
        >>> with corewise.limit(backends=1):
        ...     pass
    """
    return current_runtime().limits.limit(backends)


def backend_outcomes() -> tuple[Outcome, ...]:
    """Return what became of the limit of each backend, with the live number of threads of the calling thread.

    Example:
        >>> import corewise
        >>> "openblas" in [outcome.backend for outcome in corewise.backend_outcomes()]
        True
    """
    return current_runtime().limits.outcomes


def child_env(workers: int = 1, index: int = 0) -> dict[str, str]:
    """Return the whole environment for a child process that this program starts itself.

    It limits the backends of the child to its share of the CPUs, and to what ``limit`` allows now. What the user set
    is passed on as it is.

    Args:
        workers: How many such children run at once, at least 1.
        index: Which of them it is, from 0.

    Raises:
        ValueError: There is no such child.

    Example:
        >>> import corewise, subprocess, sys
        >>> subprocess.run([sys.executable, "-c", "pass"], env=corewise.child_env(workers=2, index=0)).returncode
        0
    """
    part = share(get_parallel_config(), index, workers, "child_env")
    limits = current_runtime().limits
    return limits.child_env(limits.under_temporary(part))
