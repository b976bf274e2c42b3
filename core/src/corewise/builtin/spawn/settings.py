"""The settings of the pool: table ``executors.spawn``."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["SpawnSettings"]


def _positive(_: Any, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"executors.spawn.{attribute.name}: must be positive, or absent for no limit, got {value!r}")


@attrs.frozen(kw_only=True)
class SpawnSettings:
    """The table ``executors.spawn``.

    A worker in which an object lives (``corewise.actors``) is neither replaced nor ended between calls, because the
    object would be lost: ``max_tasks_per_worker``, ``max_memory_per_worker`` and ``idle_timeout`` do not apply to it.

    Attributes:
        max_crashes: How many workers may end while they run one item before it fails with ``WorkerDiedError``.
            So many workers in a row, and at least 3, may end while they start before all that waits fails.
        max_tasks_per_worker: A worker is replaced after so many items; None keeps it.
        max_memory_per_worker: A worker with more resident memory than so many bytes is replaced after the item that
            it runs; None keeps it.
        idle_timeout: A worker that has had nothing to do for so many seconds is ended; None keeps it.
        context: Whether a task sees the context variables of the code that submitted it: those that a module other
            than ``__main__`` holds, and whose values can be pickled.
    """

    max_crashes: int = attrs.field(default=2, validator=_positive)
    max_tasks_per_worker: int | None = attrs.field(default=None, validator=_positive)
    max_memory_per_worker: int | None = attrs.field(default=None, validator=_positive)
    idle_timeout: float | None = attrs.field(default=None, validator=_positive)
    context: bool = False

    def for_resident(self) -> SpawnSettings:
        """Return the settings of a pool whose worker holds an object, which would be lost with the worker."""
        return attrs.evolve(self, max_tasks_per_worker=None, max_memory_per_worker=None, idle_timeout=None)
