"""Choosing an executor, with the reason, and why each other one was passed over. Nothing here looks at the machine."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from corewise.settings.model import ExecutorFacts

__all__ = ["Choice", "choose", "contradiction"]


@attrs.frozen(kw_only=True)
class Choice:
    """The executor that was chosen.

    Attributes:
        name: Its name.
        reason: Why this one.
        passed_over: Why not each of the others, by name; empty where one was named.
    """

    name: str
    reason: str
    passed_over: Mapping[str, str] = attrs.field(factory=dict)


def choose(
    executor: str = "auto",
    *,
    use_ray: bool = False,
    num_batch_jobs: int = 0,
    num_cpus: int = 1,
    free_threaded: bool = False,
    executors: Mapping[str, ExecutorFacts],
) -> Choice:
    """Choose an executor.

    Ray where it was asked for; else threads where Python runs without the GIL; else spawn where more than one worker
    was asked for; else serial. A name, or ``use_ray``, is taken as it is: whether it can run here is found out, and
    told, when it is made.

    Args:
        executor: Name of an executor, or ``auto``.
        use_ray: The same as ``executor="ray"``.
        num_batch_jobs: Workers as asked; 0 for not asked, negative for ``num_cpus``.
        num_cpus: CPUs that may be used, at least 1.
        free_threaded: Whether Python runs without the GIL now.
        executors: The executors that are registered, by name.

    Raises:
        ValueError: ``use_ray`` contradicts the name.

    Example:
        >>> choose(num_batch_jobs=4, executors={"spawn": ExecutorFacts()}).name
        'spawn'
    """
    if wrong := contradiction(executor, use_ray):
        raise ValueError(f"use_ray {wrong}")
    if executor != "auto":
        return Choice(name=executor, reason="it was asked for by name")
    jobs = num_cpus if num_batch_jobs < 0 else num_batch_jobs
    wishes = {
        "ray": None if use_ray else "use_ray is not set",
        "threads": _unusable("threads", executors) if free_threaded else "the GIL is on, so threads would take turns",
        "spawn": _unusable("spawn", executors) if jobs > 1 else "num_batch_jobs does not ask for more than one worker",
        "serial": None,
    }
    name = next(name for name, against in wishes.items() if against is None)
    passed_over = {other: against or f"{name} comes first" for other, against in wishes.items() if other != name}
    for other in executors.keys() - wishes.keys():
        passed_over[other] = f"auto never chooses it; executor = {other!r} does"
    return Choice(name=name, reason=_reason(name, jobs, free_threaded, passed_over), passed_over=passed_over)


def contradiction(executor: str, use_ray: bool) -> str | None:
    """Return how ``use_ray`` contradicts the name of an executor; None where it does not."""
    if not use_ray or executor in ("auto", "ray"):
        return None
    return f"contradicts executor = {executor!r}"


def _unusable(name: str, executors: Mapping[str, ExecutorFacts]) -> str | None:
    return executors[name].unavailable if name in executors else f"no active plugin offers {name}"


def _reason(name: str, jobs: int, free_threaded: bool, passed_over: Mapping[str, str]) -> str:
    if name == "ray":
        return "use_ray is set"
    if name == "threads":
        return "Python runs without the GIL"
    reasons = [f"threads cannot be used: {passed_over['threads']}"] if free_threaded else []
    if name == "spawn":
        reasons.append(f"num_batch_jobs asks for {jobs} workers")
    elif jobs > 1:
        reasons.append(f"num_batch_jobs asks for {jobs} workers, and spawn cannot be used: {passed_over['spawn']}")
    return "; ".join(reasons) or "nothing asks for more than one worker"
