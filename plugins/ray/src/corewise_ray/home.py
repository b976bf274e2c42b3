"""Where an object lives: a Ray actor, which is the one worker of its executor."""

from __future__ import annotations

import contextlib
import pickle
import threading
from typing import Any

import ray
from ray.exceptions import RayError

from corewise.executors.contract import ExecutorRequest
from corewise.executors.deferred import Deferred
from corewise_ray import cluster
from corewise_ray.callables import ShippedCallable
from corewise_ray.tasks import Starts, reserved
from corewise_ray.work import Answer, How, Start, keep, pack, run

__all__ = ["Home"]

CALLS_AT_ONCE = 100
"""How many calls of async methods one actor can have under way, each in a thread that waits for it."""
STOP_SECONDS = 10.0
"""How long the plugins' hooks may take when a worker ends."""


class Home:
    """The actor of one executor. Ray makes it again where it or its node dies, and its object with its next call."""

    slots = CALLS_AT_ONCE

    def __init__(self, request: ExecutorRequest) -> None:
        self._start, process = Starts(request).make(0)
        self._stop = pickle.dumps((request.stop_worker, request.worker(0)), 5) if request.hooks_in_workers else None
        options = {**reserved(request), "max_restarts": -1, "max_concurrency": CALLS_AT_ONCE, **process}
        # A name would have to be unique in the cluster.
        del options["name"]
        if options["scheduling_strategy"] == "DEFAULT":
            options["scheduling_strategy"] = "SPREAD"
        self._session = cluster.session()
        self._actor: Any = ray.remote(**options)(_Inhabited).remote()

    def send(self, index: int, shipped: ShippedCallable, items: Any, how: How, *, again: bool) -> Any:  # noqa: ARG002 - there is one worker
        """Run a chunk in the actor; return the reference of its answer."""
        # Calls fail while Ray makes an actor again, all but those that may be retried: this waits for one such.
        ready = self._actor.ready.options(max_task_retries=-1).remote() if again else None
        return self._actor.run.remote(self._start, shipped, items, how, ready)

    def end(self) -> None:
        """Call the plugins' hooks and end the process."""
        if self._stop is not None and cluster.session() == self._session:
            # An actor that is dead, or does not answer, needs to be told nothing.
            with contextlib.suppress(RayError):
                ray.get(self._actor.stop.remote(self._stop), timeout=STOP_SECONDS)
        self.kill([])

    def kill(self, marks: list[bytes]) -> None:  # noqa: ARG002 - what it runs ends with its process
        """End the process at once, for good."""
        if cluster.session() == self._session:
            ray.kill(self._actor)


class _Inhabited:
    """The actor itself.

    ``_lock`` lets one chunk run at a time; the threads of others wait for answers that were deferred.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def ready(self) -> None:
        """Answer when the actor lives."""

    def run(self, start: Start, shipped: ShippedCallable, items: list[Any], how: How, _: None) -> Answer:
        """Run the callable on every item, and wait for the results that come later."""
        with self._lock:
            results, failures, seconds = run(start, shipped, items, how)
        for position, result in enumerate(results):
            if type(result) is Deferred:
                try:
                    value = result.future.result()
                    results[position] = value if len(results) == 1 else keep(0, value)  # the loop may hold it, too
                except BaseException as error:  # noqa: BLE001 - it is this item's failure
                    results[position] = None
                    failures = {**(failures or {}), position: error}
        return pack(results, failures, seconds)

    def stop(self, data: bytes) -> None:
        """End being a worker."""
        stop_worker, worker = pickle.loads(data)
        stop_worker(worker)
