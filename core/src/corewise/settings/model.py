"""The settings as asked and as resolved; the one typed model that sources, schema and errors are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = [
    "LARGEST_COUNT",
    "BackendSettings",
    "ExecutorFacts",
    "Machine",
    "Origin",
    "ParallelConfig",
    "ParallelSettings",
    "PluginSettings",
]

LARGEST_COUNT: int = 65_536
"""More workers or threads than one machine can hold: who asks for more has misspelt a number."""


def _count(_: Any, attribute: attrs.Attribute[int], value: int) -> None:
    if value > LARGEST_COUNT:
        raise ValueError(f"{attribute.name}: must be at most {LARGEST_COUNT:,}, got {value}")


@attrs.frozen(kw_only=True)
class BackendSettings:
    """The table ``backends.NAME``; a plugin's own class extends it.

    Attributes:
        enabled: Whether corewise limits this backend.
        threads: How many threads it may use; 0 follows ``num_backend_threads``; negative leaves it alone.
    """

    enabled: bool = True
    threads: int = attrs.field(default=0, validator=_count)


@attrs.frozen(kw_only=True)
class PluginSettings:
    """The table ``plugins``.

    Attributes:
        disable: Names of plugins that are not imported; ``*`` stands for all but the built-in ones.
        strict: Whether a broken plugin is an error instead of a warning.
    """

    disable: tuple[str, ...] = ()
    strict: bool = False


@attrs.frozen(kw_only=True)
class ParallelSettings:
    """The settings as asked, before anything is resolved; the keys of table ``[parallel]``.

    Attributes:
        executor: Name of the executor, or ``auto``.
        use_ray: The same as ``executor = "ray"``.
        num_cpus: CPUs to plan for; 0 or negative: ``effective_cpu_count()``.
        num_threads: Threads of one pool; 0: ``min(num_cpus, 8)``; negative: ``num_cpus``.
        num_backend_threads: Threads of each backend; 0: ``max(min(num_cpus // num_threads, 4), 1)``; negative:
            leave backends alone.
        num_batch_jobs: Workers of an executor; 0: ``num_threads`` where the executor runs in parallel, else 1;
            negative: ``num_cpus``.
        backends: Each backend's own table, by name: an instance of its settings class.
        executors: Each executor's own table, by name: an instance of its settings class.
        plugins: Which plugins are used.
    """

    executor: str = "auto"
    use_ray: bool = False
    num_cpus: int = attrs.field(default=0, validator=_count)
    num_threads: int = attrs.field(default=0, validator=_count)
    num_backend_threads: int = attrs.field(default=0, validator=_count)
    num_batch_jobs: int = attrs.field(default=0, validator=_count)
    backends: Mapping[str, BackendSettings] = attrs.field(factory=dict)
    executors: Mapping[str, Any] = attrs.field(factory=dict)
    plugins: PluginSettings = attrs.field(factory=PluginSettings)


@attrs.frozen
class Origin:
    """Where a value comes from.

    Attributes:
        kind: ``argument``, ``env``, ``file``, ``plugin default``, ``default`` or ``worker``.
        detail: What a reader needs to find it: ``COREWISE_NUM_THREADS``, ``corewise.toml line 4``,
            ``min(num_cpus, 8)``.
        rule: What made the resolved value of what was asked, where they differ: ``-1 gives num_cpus``.
    """

    kind: str
    detail: str = ""
    rule: str = ""

    def __str__(self) -> str:
        where = self.detail if self.kind == "file" else f"{self.kind} {self.detail}".rstrip()
        return f"{where} ({self.rule})" if self.rule else where


@attrs.frozen(kw_only=True)
class ExecutorFacts:
    """What is known of an executor when settings are resolved; unlike its factory it can be pickled.

    Attributes:
        parallel: Whether several items can run at once.
        unavailable: Why it cannot run here; None where it can.
    """

    parallel: bool = True
    unavailable: str | None = None


@attrs.frozen(kw_only=True)
class Machine:
    """The facts that settings were resolved with, and that a worker's share is resolved with again.

    Attributes:
        executors: The executors that can be chosen from, by name.
        free_threaded: Whether Python runs without the GIL.
    """

    executors: Mapping[str, ExecutorFacts] = attrs.field(factory=dict)
    free_threaded: bool = False


@attrs.frozen(kw_only=True)
class ParallelConfig:
    """The resolved settings: what holds in this process, thread or worker.

    The counts are final: no 0 and no negative value is left in them, except a negative ``num_backend_threads``, which
    leaves backends alone.

    Attributes:
        executor: Name of the executor that ``corewise.map`` uses.
        executor_reason: Why this one.
        passed_over: Why not each of the others that ``auto`` considered, by name.
        use_ray: Whether the executor is Ray.
        num_cpus: CPUs that this process, thread or worker may plan for.
        num_threads: Threads of one pool.
        num_backend_threads: Threads of each backend, or negative.
        num_batch_jobs: Workers of the executor.
        backends: Each backend's settings, by name.
        executors: Each executor's settings, by name.
        plugins: Which plugins are used.
        limits: Threads that a backend may have at most, by its name: in a process that was started under
            ``corewise.limit``, what held there.
        origins: Where each value comes from, by dotted key.
        asked: The settings as asked, which a worker's share is resolved from.
        machine: The facts that they were resolved with.
    """

    executor: str
    executor_reason: str
    passed_over: Mapping[str, str] = attrs.field(factory=dict)
    use_ray: bool
    num_cpus: int
    num_threads: int
    num_backend_threads: int
    num_batch_jobs: int
    backends: Mapping[str, BackendSettings] = attrs.field(factory=dict)
    executors: Mapping[str, Any] = attrs.field(factory=dict)
    plugins: PluginSettings = attrs.field(factory=PluginSettings)
    limits: Mapping[str, int] = attrs.field(factory=dict)
    origins: Mapping[str, Origin] = attrs.field(factory=dict, eq=False)
    asked: ParallelSettings = attrs.field(factory=ParallelSettings, eq=False, repr=False)
    machine: Machine = attrs.field(factory=Machine, eq=False, repr=False)
