"""From what was asked to what holds: every 0 and every negative count gets its value, and every value its origin.

The rules are those of LensKit 2026.1's ``[parallel]`` settings. Pure: what is known of the machine is passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from corewise.executors.choose import Choice, choose
from corewise.settings.model import ExecutorFacts, Machine, Origin, ParallelConfig, ParallelSettings

if TYPE_CHECKING:
    from corewise.cpus import CpuCount
    from corewise.executors.contract import ExecutorFactory

__all__ = ["resolve", "share"]

MOST_THREADS = 8
"""More threads than this are used only by those who ask for them."""
MOST_BACKEND_THREADS = 4
"""The same for the threads of one backend."""


def resolve(
    asked: ParallelSettings,
    origins: Mapping[str, Origin],
    *,
    cpus: CpuCount,
    executors: Mapping[str, ExecutorFactory],
    free_threaded: bool,
) -> ParallelConfig:
    """Return the settings that hold.

    Args:
        asked: The settings as asked.
        origins: Where each value that was asked for comes from, by dotted key.
        cpus: How many CPUs this process may use.
        executors: The executors that are registered, by name.
        free_threaded: Whether Python runs without the GIL now; a free-threaded build whose GIL was switched on does
            not.

    Example:
        >>> from corewise.cpus import CpuCount
        >>> config = resolve(
        ...     ParallelSettings(num_threads=4), {}, cpus=CpuCount(value=8, source="affinity"), executors={},
        ...     free_threaded=False,
        ... )
        >>> config.num_cpus, config.num_threads, config.num_backend_threads, config.num_batch_jobs
        (8, 4, 2, 1)
    """
    facts = {name: _facts(factory) for name, factory in executors.items()}
    machine = Machine(executors=facts, free_threaded=free_threaded)
    return _Resolution(asked, origins, machine).config((cpus.value, f"effective_cpu_count() by {cpus.source}"))


def share(config: ParallelConfig, index: int, count: int, executor: str) -> ParallelConfig:
    """Return the settings of one worker: those of a smaller machine, resolved again from what was asked.

    CPUs are divided, the remainder goes to the first workers, and each has at least one. ``num_threads`` is at most
    the share where several workers run; ``num_backend_threads`` stays as asked; ``num_batch_jobs`` was asked of the
    parent, not of the worker. A worker with a single CPU runs its own work serially.

    Args:
        config: The settings that hold where the executor is made.
        index: Which worker, from 0.
        count: How many workers the executor has.
        executor: Name of the executor.

    Raises:
        ValueError: There is no such worker.
    """
    if not 0 <= index < count:
        raise ValueError(f"a worker's index must be at least 0 and less than the count {count}, got {index}")
    whole, remainder = divmod(config.num_cpus, count)
    cpus = max(whole + (index < remainder), 1)
    place = f"{index + 1} of {count}"
    origins = {
        key: attrs.evolve(origin, rule="")
        for key, origin in config.origins.items()
        if origin.kind != "default" and key not in ("num_batch_jobs", "num_cpus")
    }
    origins["num_cpus"] = Origin("worker", place)
    threads = config.asked.num_threads
    if count > 1 and threads > cpus:
        threads = cpus
        origins["num_threads"] = Origin("worker", place)
    asked = attrs.evolve(config.asked, num_cpus=cpus, num_threads=threads, num_batch_jobs=0)
    alone = Choice(name="serial", reason=f"worker {place} on {executor} has one CPU, so it works serially")
    resolution = _Resolution(asked, origins, config.machine)
    return attrs.evolve(resolution.config((cpus, ""), alone if cpus == 1 else None), limits=config.limits)


def _facts(factory: ExecutorFactory) -> ExecutorFacts:
    try:
        unavailable = factory.unavailable()
    except Exception as error:  # noqa: BLE001 - a plugin that cannot even say so cannot run here
        unavailable = f"asking whether it can run failed: {type(error).__name__}: {error}"
    return ExecutorFacts(parallel=factory.parallel, unavailable=unavailable)


Rule = tuple[int, str]
"""A value, and what it is in words."""


@attrs.define
class _Resolution:
    """One resolution. Owned by one call, so it needs no lock.

    Attributes:
        asked: The settings as asked.
        origins: Their origins; completed as values are found.
        machine: The facts to resolve with.
    """

    asked: ParallelSettings
    origins: Mapping[str, Origin]
    machine: Machine
    found: dict[str, Origin] = attrs.field(factory=dict)

    def config(self, cpus: Rule, given: Choice | None = None) -> ParallelConfig:
        asked = self.asked
        num_cpus = self._count("num_cpus", asked.num_cpus, cpus, cpus)
        every_cpu = (num_cpus, "num_cpus")
        usual = (min(num_cpus, MOST_THREADS), f"min(num_cpus, {MOST_THREADS})")
        num_threads = self._count("num_threads", asked.num_threads, usual, every_cpu)
        num_backend_threads = self._count(
            "num_backend_threads",
            asked.num_backend_threads,
            (
                max(min(num_cpus // num_threads, MOST_BACKEND_THREADS), 1),
                f"max(min(num_cpus // num_threads, {MOST_BACKEND_THREADS}), 1)",
            ),
            (asked.num_backend_threads, "leave backends alone"),
        )
        choice = given or self._choice(num_cpus)
        jobs = (num_threads, "num_threads") if self._parallel(choice.name) else (1, "1 for serial")
        num_batch_jobs = self._count("num_batch_jobs", asked.num_batch_jobs, jobs, every_cpu)
        self._name_origins(choice)
        return ParallelConfig(
            executor=choice.name,
            executor_reason=choice.reason,
            passed_over=choice.passed_over,
            use_ray=choice.name == "ray",
            num_cpus=num_cpus,
            num_threads=num_threads,
            num_backend_threads=num_backend_threads,
            num_batch_jobs=num_batch_jobs,
            backends=asked.backends,
            executors=asked.executors,
            plugins=asked.plugins,
            origins={**self._defaults(), **self.origins, **self.found},
            asked=asked,
            machine=self.machine,
        )

    def _count(self, key: str, asked: int, zero: Rule, negative: Rule) -> int:
        origin = self.origins.get(key)
        if asked > 0:
            self.found[key] = origin or Origin("argument", key)
            return asked
        value, rule = negative if asked < 0 else zero
        if origin is None:
            self.found[key] = (
                Origin("default", rule) if asked == 0 else Origin("argument", key, f"{asked} gives {rule}")
            )
        else:
            self.found[key] = attrs.evolve(origin, rule=f"{asked} gives {rule}")
        return value

    def _choice(self, num_cpus: int) -> Choice:
        return choose(
            self.asked.executor,
            use_ray=self.asked.use_ray,
            num_batch_jobs=self.asked.num_batch_jobs,
            num_cpus=num_cpus,
            free_threaded=self.machine.free_threaded,
            executors=self.machine.executors,
        )

    def _parallel(self, name: str) -> bool:
        facts = self.machine.executors.get(name)
        return facts.parallel if facts is not None else name != "serial"

    def _name_origins(self, choice: Choice) -> None:
        asked, origin = self.asked.executor, self.origins.get("executor")
        if origin is None and asked == "auto" and self.asked.use_ray:
            ray = self.origins.get("use_ray") or Origin("argument", "use_ray")
            origin = attrs.evolve(ray, rule="use_ray gives 'ray'")
        elif origin is None:
            origin = Origin("default", "auto") if asked == "auto" else Origin("argument", "executor")
        elif asked != choice.name:
            origin = attrs.evolve(origin, rule=f"{asked!r} gives {choice.name!r}")
        self.found["executor"] = origin
        if choice.name == "ray" and not self.asked.use_ray:
            self.found["use_ray"] = attrs.evolve(origin, rule="executor is 'ray'")

    def _defaults(self) -> dict[str, Origin]:
        return {key: Origin("default") for key in ("use_ray", "plugins.disable", "plugins.strict")}
