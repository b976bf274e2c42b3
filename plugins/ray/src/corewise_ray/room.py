"""Whether any node is large enough for a task: Ray waits for one that is for ever, and says so only in its log."""

from __future__ import annotations

from collections.abc import Mapping

from corewise.errors import ExecutorUnavailableError, ExecutorWarning, warn
from corewise_ray import cluster
from corewise_ray.settings import RaySettings

__all__ = ["check_room"]


def check_room(settings: RaySettings) -> None:
    """Compare what the settings reserve for each task with the nodes that there are.

    Raises:
        ExecutorUnavailableError: No node has so much, and none will come: the cluster was started here.

    Warns:
        ExecutorWarning: No node has so much yet.
    """
    wanted = {"CPU": settings.num_cpus, "GPU": settings.num_gpus, **settings.resources}
    nodes = cluster.nodes()
    if not nodes or any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        return
    problem = f"executor 'ray': {_lacking(wanted, nodes)}; lower it, or add a node that has it"
    if not cluster.grows():
        raise ExecutorUnavailableError(problem)
    warn(f"{problem}: until then no task runs", ExecutorWarning)


def _lacking(wanted: Mapping[str, float], nodes: list[dict[str, float]]) -> str:
    """Name the setting that no node can serve, its value, and what the largest node has."""
    for name, amount in wanted.items():
        most = max(node.get(name, 0.0) for node in nodes)
        if amount > most:
            setting = {"CPU": "num_cpus", "GPU": "num_gpus"}.get(name, f"resources[{name!r}]")
            return f"executors.ray.{setting} = {amount:g}, but the largest node has {most:g}"
    parts = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items() if amount)
    return f"num_cpus, num_gpus and resources of executors.ray ask for {parts} together, which no node has"
