"""The life of the workers behind a multiprocess object: started with the first call, ended by closing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

import attrs

from corewise.actor_pool import ActorPool, open_actors
from corewise.aio import at_exit
from corewise.aio.callers import Callers
from corewise.aio.recipe import Recipe
from corewise.aio.remote import Facts, describe, fetch
from corewise.aio.results import copy_error
from corewise.aio.spreading import Spread
from corewise.errors import ClosedError, ExecutorWarning, warn
from corewise.executors.resident import Recipe as PlainRecipe
from corewise.runtime import current_runtime, get_parallel_config

__all__ = ["Home", "Plan", "Started"]

LEAVING_SECONDS = 5.0
"""How long closing waits for a start that was given up: a factory that the starting thread itself runs goes on."""


@attrs.frozen(eq=False)
class Plan:
    """What is to run where.

    Attributes:
        recipe: What makes the object.
        num_workers: How many workers.
        executor: Name of the executor that they are of; None for the one of the settings where its workers are
            processes, else ``spawn``.
        attributes: The data attributes to fetch at the start.
    """

    recipe: Recipe
    num_workers: int
    executor: str | None
    attributes: tuple[str, ...]

    def chosen(self) -> tuple[str, bool]:
        """Return the name of the executor, and whether its workers share memory with this process."""
        host, usual = current_runtime().host, get_parallel_config().executor
        if self.executor is not None:
            return self.executor, host.executor(self.executor).shares_memory
        facts = host.executor(usual)
        return (usual, False) if facts.processes or facts.remote else ("spawn", False)


@attrs.frozen(eq=False)
class Started:
    """Workers that have their objects."""

    spread: Spread
    pool: ActorPool[Any]
    facts: Facts


class Home:
    """The workers of a multiprocess object; any thread and any event loop may use it.

    ``_lock`` guards ``_start``, ``_ending`` and ``_closed``.

    Args:
        plan: What is to run where.

    Attributes:
        plan: The same.
        started: The workers, once they have their objects.
        callers: The calls that wait for the workers.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started: Started | None = None
        self.callers: Callers = Callers()
        self._lock = threading.Lock()
        self._start: _Start | None = None
        self._ending: Future[None] | None = None
        self._closed = False

    async def ready(self) -> Started:
        """Wait for the workers to have their objects; start them where nobody has, or where starting failed.

        Raises:
            ClosedError: It is closed.
            Exception: What kept the workers from starting, each caller its own.
        """
        start = self._begin()
        try:
            return self._note(start, await asyncio.wrap_future(start.done))
        except Exception as error:  # noqa: BLE001 - a copy of it is raised: others wait for the same start
            raise copy_error(error) from error.__cause__

    def ready_now(self) -> Started:
        """Do the same and block the calling thread meanwhile."""
        start = self._begin()
        return self._note(start, start.done.result())

    def fetch(self, name: str) -> tuple[str, Any]:
        """Fetch an attribute from a worker, blocking: its kind and value."""
        return self.ready_now().pool.apply(fetch, name).result()

    def _begin(self) -> _Start:
        with self._lock:
            if self._closed:
                raise ClosedError(f"multiprocess({self.plan.recipe.name}) is closed: no more calls can be made")
            if self._start is None or self._start.failed():
                self._start = _Start(self.plan)
                self._start.thread.start()
            return self._start

    def _note(self, start: _Start, started: Started) -> Started:
        self.started = started
        advice, start.advice = start.advice, None
        if advice is not None:
            warn(advice, ExecutorWarning)
        return started

    async def aclose(self, *, drain: bool) -> None:
        """End the workers; see ``Multiprocess.aclose``."""
        await asyncio.sleep(0)  # what was called in this turn of the loop has left then
        with self._lock:
            self._closed = True
            start, ending, first = self._start, self._ending or _running_future(), self._ending is None
            self._ending = ending
        if first or not drain:
            self._end_in_thread(start, ending, drain=drain)
        try:
            await asyncio.wrap_future(ending)
        except asyncio.CancelledError:
            if start is not None and not start.done.done():  # a factory may hang: nobody is to wait for it again
                self._end_in_thread(start, ending, drain=False)
            raise

    def _end_in_thread(self, start: _Start | None, ending: Future[None], *, drain: bool) -> None:
        """End what was started in a thread of its own: the loop's own would keep a program alive while a worker hangs.

        Whoever is first to be done, this or a hastier ending, is so for all that wait.
        """

        def end() -> None:
            try:
                if drain:
                    self.callers.wait()
                if start is not None:
                    start.end(drain=drain)
            except BaseException as error:  # noqa: BLE001 - whoever closes must hear of it
                _finish(ending.set_exception, error)
            else:
                _finish(ending.set_result, None)

        threading.Thread(target=end, name="corewise-multiprocess-end", daemon=True).start()


class _Start:
    """One attempt to start the workers, in a thread of its own.

    ``_lock`` guards ``_pool`` and ``_abandoned``; ``_opened`` is set when there is a pool, or will never be one.

    Attributes:
        done: Becomes done with the workers, or with what kept them from starting. It cannot be cancelled.
        advice: What to tell the first caller about the size of the recipe.
        thread: The thread; a daemon, as no program should wait for a worker that hangs.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.done: Future[Started] = _running_future()
        self.advice: str | None = None
        self.thread = threading.Thread(target=self._run, name="corewise-multiprocess-start", daemon=True)
        self._lock = threading.Lock()
        self._pool: ActorPool[Any] | None = None
        self._abandoned = False
        self._opened = threading.Event()
        at_exit.watch_start(self)

    def failed(self) -> bool:
        """Say whether it ended without workers."""
        return self.done.done() and self.done.exception() is not None

    def _run(self) -> None:
        try:
            started = self._started()
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._opened.set()
            self._abandon()
            _finish(self.done.set_exception, error)
        else:
            _finish(self.done.set_result, started)

    def _started(self) -> Started:
        plan = self.plan
        executor, shares_memory = plan.chosen()
        if shares_memory:
            recipe = plan.recipe.plain()
        else:
            recipe, size = plan.recipe.pickled()
            self.advice = plan.recipe.advice(size)
        pool = self._open(recipe, executor)
        for made in pool.begin():
            self._await(made)
        facts = self._await(pool.apply(describe, plan.attributes))
        return Started(Spread(pool, plan.recipe.name, asynchronous=facts.asynchronous), pool, facts)

    def _open(self, recipe: PlainRecipe, executor: str) -> ActorPool[Any]:
        try:
            pool = open_actors(recipe, self.plan.num_workers, executor)
            at_exit.watch_pool(pool)
            with self._lock:
                self._pool = pool
                abandoned = self._abandoned
            if abandoned:
                pool.abandon()
            return pool
        finally:
            self._opened.set()

    def _await(self, future: Future[Any]) -> Any:
        """Wait for a worker, or until the start is abandoned: a factory that hangs in a thread never answers."""
        arrived = threading.Event()
        future.add_done_callback(lambda _: arrived.set())
        self.done.add_done_callback(lambda _: arrived.set())
        arrived.wait()
        if not future.done():
            raise ClosedError("the start was abandoned")
        return future.result()

    def _abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            pool = self._pool
        if pool is not None:
            pool.abandon()

    def end(self, *, drain: bool) -> None:
        """End the workers, or the attempt to start them."""
        if self.done.done() and not self.failed():
            self.done.result().spread.close(drain=drain)
        else:
            self.stop()

    def stop_unless_done(self) -> None:
        """Stop it where it goes on; called at exit."""
        if not self.done.done():
            self.stop()

    def stop(self) -> None:
        """End what was started, and let those who wait know that it was closed."""
        error = ClosedError(f"multiprocess({self.plan.recipe.name}) was closed before its workers had started")
        _finish(self.done.set_exception, error)
        self._abandon()
        self._opened.wait()
        self.thread.join(LEAVING_SECONDS)


def _finish(setter: Callable[[Any], None], value: Any) -> None:
    with contextlib.suppress(InvalidStateError):  # it was finished before
        setter(value)


def _running_future() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # one caller that is cancelled must not cancel it for the others
    return future
