"""What the settings ask of each backend."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec

import attrs

from corewise.backends.contract import Backend, Scope
from corewise.backends.exports import set_by_user
from corewise.settings.model import ParallelConfig

__all__ = ["Demand", "demand", "pools", "start_needed", "variables", "withheld"]


@attrs.frozen
class Demand:
    """What the settings ask of one backend.

    Attributes:
        threads: How many threads it may use; None: it is left alone.
        reason: Why it is left alone, or what else has to be known.
    """

    threads: int | None
    reason: str = ""


def demand(backend: Backend, config: ParallelConfig, environ: Mapping[str, str]) -> Demand:
    """Return what these settings ask of the backend in a process with this environment."""
    found, most = _by_settings(backend, config, environ), config.limits.get(backend.name)
    if most is None or set_by_user(environ, backend.variables) is not None:
        return found
    return Demand(most if found.threads is None else min(found.threads, most))


def _by_settings(backend: Backend, config: ParallelConfig, environ: Mapping[str, str]) -> Demand:
    settings = config.backends.get(backend.name) or backend.settings()
    key = f"backends.{backend.name}"
    if not settings.enabled:
        return Demand(None, f"{key}.enabled is false")
    if settings.threads < 0:
        return Demand(None, f"{key}.threads is {settings.threads}")
    if (name := set_by_user(environ, backend.variables)) is not None:
        return Demand(None, f"{name}={environ[name]} is set by the user")
    if settings.threads:
        return Demand(settings.threads)
    # A negative number says to leave libraries alone and to export nothing. A pool that follows num_threads and is
    # sized by a call still gets them: see the rules for applying in docs/explanation/limits.md.
    if config.num_backend_threads < 0 and (backend.follows == "num_backend_threads" or backend.env(1)):
        return Demand(None, f"num_backend_threads is {config.num_backend_threads}")
    return Demand(config.num_threads if backend.follows == "num_threads" else config.num_backend_threads)


def variables(backends: Iterable[Backend], config: ParallelConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that limit a process which has not started; where two backends name one, the first wins.

    A value that is a number and not positive is never among them.
    """
    found: dict[str, str] = {}
    for backend in backends:
        threads = demand(backend, config, environ).threads
        for name, value in backend.env(threads).items() if threads is not None else ():
            if not value.strip().lstrip("-").isdecimal() or int(value) > 0:
                found.setdefault(name, value)
    return found


def withheld(backends: Iterable[Backend], config: ParallelConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that must not be set in this process, each with the backends that would follow it.

    Those are left alone, and a library of theirs may still be loaded; the user has set no variable that they prefer.
    """
    found: dict[str, list[str]] = {}
    for backend in backends:
        left_alone = demand(backend, config, environ).threads is None and not _prefers_own(backend, environ)
        if left_alone and _may_come(backend):
            for name in backend.reads:
                found.setdefault(name, []).append(backend.name)
    return {name: ", ".join(followers) for name, followers in found.items()}


def _prefers_own(backend: Backend, environ: Mapping[str, str]) -> bool:
    return set_by_user(environ, backend.env(1)) is not None


def _may_come(backend: Backend) -> bool:
    """Whether a library of the backend may be loaded yet: the first, or another copy with another import."""
    return _installed(backend) and (not backend.loaded() or any(name not in sys.modules for name in backend.imports))


def start_needed(
    backends: Iterable[Backend], config: ParallelConfig, environ: Mapping[str, str]
) -> tuple[bool, tuple[str, ...]]:
    """Tell when a process has to limit backends itself, because no variable in its environment brings the limit to it.

    Args:
        backends: The backends; one whose library is not installed asks for nothing.
        config: The settings of the process.
        environ: Its whole environment.

    Returns:
        Whether at once; if not, before the import of which modules at the latest.
    """
    beyond = list(_beyond_variables(backends, config, environ))
    names = {name for backend in beyond for name in backend.imports}
    return not all(backend.imports for backend in beyond), tuple(sorted(names))


def _beyond_variables(
    backends: Iterable[Backend], config: ParallelConfig, environ: Mapping[str, str]
) -> Iterator[Backend]:
    for backend in backends:
        threads = demand(backend, config, environ).threads
        if threads is not None and _installed(backend):
            own = backend.env(threads)
            if not own or any(environ.get(name) != value for name, value in own.items()):
                yield backend


def pools(backends: Iterable[Backend], config: ParallelConfig, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the import names of the libraries whose pool is built once, and is to have a certain size."""
    once = (backend for backend in backends if backend.scope is Scope.ONCE)
    asked = (backend for backend in once if demand(backend, config, environ).threads is not None)
    return tuple(name for backend in asked for name in backend.imports)


def _installed(backend: Backend) -> bool:
    return not backend.imports or any(find_spec(name.partition(".")[0]) is not None for name in backend.imports)
