"""The Ray task of an executor: what it reserves, and where its process comes from."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

import ray

import corewise
from corewise.errors import ExecutorWarning, warn
from corewise.executors.contract import ExecutorRequest
from corewise_ray import logs, withdrawal
from corewise_ray.callables import ShippedCallable
from corewise_ray.cluster import largest_node
from corewise_ray.room import check_room
from corewise_ray.settings import RaySettings
from corewise_ray.work import How, Start, Wishes, run_chunk_on_ray

__all__ = ["Starts", "Tasks", "reserved"]

INTERPRETER_VARIABLES = ("PYTHON", "LD_", "MALLOC_", "GLIBC_")
"""What an interpreter or its libraries read when the process starts, and never again."""


def task_cpus(request: ExecutorRequest) -> float:
    """Return the CPUs that a task reserves: as set, else its worker's share; never more than a node has.

    Warns:
        ExecutorWarning: The share is larger than the largest node, where Ray would wait for a larger one for ever.
    """
    settings: RaySettings = request.settings
    if settings.num_cpus > 0:
        return settings.num_cpus
    config = request.worker(request.workers - 1).config
    budget = max(1, config.num_cpus) if config is not None else 1
    most = int(largest_node("CPU"))
    if 0 < most < budget:
        warn(
            f"executor 'ray': {request.workers} workers may use {budget} CPUs each, but the largest node has {most}: "
            "tasks reserve that; set num_batch_jobs, or num_cpus of executors.ray",
            ExecutorWarning,
        )
        return most
    return budget


def reserved(request: ExecutorRequest) -> dict[str, Any]:
    """Return the options of Ray for what a task or actor reserves, and where it runs.

    Raises:
        ExecutorUnavailableError: No node has that, nor will one have it.

    Warns:
        ExecutorWarning: No node has that yet.
    """
    settings: RaySettings = request.settings
    if not request.resident or request.worker(0).index == 0:  # once for all actors of a pool
        check_room(settings)
    options: dict[str, Any] = {
        "name": "corewise",
        "num_cpus": task_cpus(request),
        "scheduling_strategy": settings.scheduling_strategy,
    }
    if settings.num_gpus:
        options["num_gpus"] = settings.num_gpus
    if settings.resources:
        options["resources"] = dict(settings.resources)
    return options


class Starts:
    """Makes what turns a process into a worker of one executor. It never changes, so it needs no lock."""

    def __init__(self, request: ExecutorRequest) -> None:
        self._request = request
        self._settings: RaySettings = request.settings
        self._token = os.urandom(16)
        self._levels = logs.levels()

    def make(self, index: int) -> tuple[Start, dict[str, Any]]:
        """Return the start of the worker of this index, and the options of Ray for its process."""
        request = self._request
        chosen = self._settings.runtime_env.get("env_vars", {})
        environment = {
            name: value
            for name, value in request.environment(index).items()
            if _travels(name, value) and name not in chosen
        }
        worker = pickle.dumps(request.worker(index), 5)
        wishes = Wishes(
            at_once=request.hooks_in_workers,
            before=request.start_before,
            pools=request.pools,
            tensors=self._settings.zero_copy_tensors,
            version=corewise.__version__,
        )
        data = pickle.dumps((environment, sys.path, self._levels, wishes, request.start_worker, worker), 5)
        runtime_env = self._runtime_env(environment)
        return Start(self._token, data), {"runtime_env": runtime_env} if runtime_env else {}

    def _runtime_env(self, environment: dict[str, str]) -> dict[str, Any]:
        """Return what Ray has to know before it starts a process; where that is nothing, one that runs can be used.

        A process of its own takes Ray a second or more, so variables that can be set in a running process are.
        """
        given = dict(self._settings.runtime_env)
        early = {name: value for name, value in environment.items() if name.startswith(INTERPRETER_VARIABLES)}
        if given or early:
            given["env_vars"] = {**(environment if given else early), **given.get("env_vars", {})}
        return given


class Tasks:
    """Makes the tasks of one executor.

    ``_prepared`` holds what was made for each worker; two threads may make the same thing at once, which does no harm.
    """

    def __init__(self, request: ExecutorRequest) -> None:
        self._starts = Starts(request)
        self._options = {
            **reserved(request),
            # The executor counts crashes itself: Ray runs a chunk again as a whole, whichever item is to blame.
            "max_retries": 0,
            # Ray ends a worker with GPUs after each task; ours keeps the callable, a model there, for the next chunk.
            "max_calls": 0,
        }
        self.slots = request.workers
        self._prepared: dict[int, tuple[Start, Any]] = {}

    def send(self, index: int, shipped: ShippedCallable, items: Any, how: How, *, again: bool) -> Any:  # noqa: ARG002 - a task that is sent again needs nothing else
        """Run a chunk as the worker of this index; return the reference of its answer."""
        prepared = self._prepared.get(index)
        if prepared is None:
            start, process = self._starts.make(index)
            prepared = self._prepared[index] = start, ray.remote(**self._options, **process)(run_chunk_on_ray)
        start, remote = prepared
        return remote.remote(start, shipped, items, how)

    def end(self) -> None:
        """End nothing: Ray keeps its workers for others."""

    def kill(self, marks: list[bytes]) -> None:
        """Ask the workers of these jobs to stop them: Ray's workers are not ours to end."""
        if ray.is_initialized():
            for mark in marks:
                withdrawal.ask(mark)


def _travels(name: str, value: str) -> bool:
    """Whether a variable is to be set in the workers: it was made for them, or the user sized a thread pool by it."""
    return os.environ.get(name) != value or name.endswith("_THREADS")
