"""Pools that an extension builds with a function of its own, and tells the size of with another."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from corewise.backends.contract import Backend, Scope

__all__ = ["PoolBackend", "RayonPool", "backend_of"]


@attrs.frozen(kw_only=True)
class RayonPool:
    """The pool of a Rust extension, by the names of the extension's own functions.

    Attributes:
        name: What the settings call it; an identifier.
        module: Dotted name of the extension module.
        init: Name of its function that builds the pool of so many threads; it may raise where there is one.
        count: Name of its function that returns how many threads the pool has; it may build the pool.
        summary: One line for tables.

    Example:
        >>> RayonPool(name="mine", module="mine._native", init="init_pool", count="pool_threads").module
        'mine._native'
    """

    name: str
    module: str
    init: str
    count: str
    summary: str = ""


@attrs.frozen(kw_only=True)
class PoolBackend(Backend):
    """A ``RayonPool`` as a backend.

    Counting may build a pool of the size that Rayon thinks best, so it is not counted before it was built here.

    Attributes:
        pool: The names.
    """

    pool: RayonPool
    scope: Scope = Scope.ONCE
    variables: tuple[str, ...] = ("RAYON_NUM_THREADS",)
    follows: Literal["num_backend_threads", "num_threads"] = "num_threads"
    # Holds the process in which the pool was built: a forked child has the pool of its parent no more.
    _built: list[int] = attrs.field(factory=list, eq=False, repr=False, init=False)

    def loaded(self) -> bool:
        """Whether the extension has been imported, to its end."""
        return hasattr(sys.modules.get(self.pool.module), self.pool.init)

    def env(self, threads: int) -> Mapping[str, str]:  # noqa: ARG002 - the contract's
        """Nothing: ``RAYON_NUM_THREADS`` is the business of the backend ``rayon``."""
        return {}

    def limit(self, threads: int) -> None:
        """Build the pool; where there is one, it stays as it is."""
        if os.getpid() not in self._built:
            # Each extension raises what it likes where the pool is there; corewise sees from the count what holds.
            with contextlib.suppress(Exception):
                self._function(self.pool.init)(threads)
            self._built.append(os.getpid())

    def threads(self) -> int | None:
        """The size of the pool; None where nothing is known to have built it."""
        if os.getpid() not in self._built:
            return None
        found: int = self._function(self.pool.count)()
        return found

    def _function(self, name: str) -> Callable[..., int]:
        found: Callable[..., int] = getattr(sys.modules[self.pool.module], name)
        return found


def backend_of(pool: RayonPool) -> PoolBackend:
    """Return the backend of a pool."""
    return PoolBackend(
        name=pool.name, imports=(pool.module,), summary=pool.summary or f"the pool of {pool.module}", pool=pool
    )
