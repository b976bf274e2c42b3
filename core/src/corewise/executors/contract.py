"""What an executor plugin says and implements.

Any ``concurrent.futures.Executor`` is enough: an ``ExecutorFactory`` wraps it with a few facts, and the map engine
supplies chunks, order, back-pressure, retries and timeouts. An executor that can do better than ``submit`` implements
``ChunkExecutor`` too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor as FuturesExecutor
from concurrent.futures import Future
from typing import Any, Protocol, cast, runtime_checkable

import attrs

from corewise.executors.chunks import Chunk, ChunkOutcome
from corewise.executors.share import Shared
from corewise.executors.worker import Worker

__all__ = [
    "AttendedExecutor",
    "ChunkExecutor",
    "ExecutorFactory",
    "ExecutorRequest",
    "KillableExecutor",
    "NoSettings",
    "SharingExecutor",
]


@attrs.frozen
class NoSettings:
    """The settings of an executor that has none."""


def _nothing() -> None:
    pass


@attrs.frozen(kw_only=True)
class ExecutorRequest:
    """What a factory is told about the executor that it is to make.

    Attributes:
        workers: How many workers may run at once, at least 1.
        settings: An instance of the factory's own settings class: configuration, then keyword options.
        worker: Gives the record of worker ``i`` of ``workers``: its share of the machine. It can be pickled.
        environment: Gives the complete environment for the process of worker ``i``.
        start_worker: To be called once inside every worker, in its thread or process, before its first task: adopts
            the share, limits backends, calls the plugins' hooks. Can be pickled, and so can its argument.
        stop_worker: To be called once inside every worker that ends in good order.
        hooks_in_workers: Whether a plugin or a backend wants to run in every worker before its first task. Where none
            does, a worker process may put off ``start_worker``, which imports much, for as long as it needs none.
        start_before: Names of modules: ``start_worker`` is to be called before one of them is imported, at the latest
            (``corewise.executors.late_start``), because no variable limits their threads.
        pools: Import names of libraries that keep the pool they have built. Where a process that becomes a worker has
            loaded one before, for somebody else, only a call of ``start_worker`` tells what holds.
        renew_worker: May be called in a worker thread before a task: limits a library that another thread has loaded
            since. Costs next to nothing where there is none.
        resident: Whether an object is to live in the worker, of which there is one: every call must reach the same
            thread or process, until that dies.
    """

    workers: int
    settings: Any
    worker: Callable[[int], Worker]
    environment: Callable[[int], dict[str, str]]
    start_worker: Callable[[Worker], None]
    stop_worker: Callable[[Worker], None]
    hooks_in_workers: bool = False
    start_before: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    renew_worker: Callable[[], None] = _nothing
    resident: bool = False


def _available() -> str | None:
    return None


def _name(_: ExecutorFactory, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not value.isidentifier() or value == "auto":
        raise ValueError(f"{attribute.name} of an executor must be an identifier other than 'auto', got {value!r}")


def _settings(_: ExecutorFactory, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, type) or not attrs.has(value):
        raise TypeError(f"{attribute.name} of an executor must be an attrs class, got {value!r}")


@attrs.frozen(kw_only=True)
class ExecutorFactory:
    """An executor, by name: how to make it, and the facts that corewise chooses by.

    Attributes:
        name: What the settings call it; an identifier.
        create: Makes the executor. Imports what it needs when called, not before.
        summary: One line for tables.
        settings: The attrs class of the table ``executors.NAME``; every field needs a default.
        parallel: Whether several items can run at once.
        in_caller: Whether tasks run in the calling thread, one at a time, while ``submit`` is called.
        shares_memory: Whether workers see the caller's objects, so that nothing is pickled.
        processes: Whether workers are processes of their own.
        remote: Whether workers may be on other machines.
        starts_workers: Whether the executor itself calls ``request.start_worker`` in each worker. Where it does
            not, the engine does so with the first chunk that reaches the worker.
        defers: Whether a callable may answer later, by returning a ``corewise.executors.deferred.Deferred``.
        unavailable: Why it cannot run here, with what to install or set; None where it can. Must be cheap.
    """

    name: str = attrs.field(validator=_name)
    create: Callable[[ExecutorRequest], FuturesExecutor] = attrs.field(validator=attrs.validators.is_callable())
    summary: str = ""
    settings: type = attrs.field(default=cast("type", NoSettings), validator=_settings)
    parallel: bool = True
    in_caller: bool = False
    shares_memory: bool = False
    processes: bool = False
    remote: bool = False
    starts_workers: bool = False
    defers: bool = False
    unavailable: Callable[[], str | None] = attrs.field(default=_available, validator=attrs.validators.is_callable())


@runtime_checkable
class ChunkExecutor(Protocol):
    """What a native executor implements beside ``concurrent.futures.Executor`` to serve the map engine directly.

    An executor to which a chunk is dear says in an attribute ``chunk_seconds`` what one should take; 0.004 by default.

    ``prepare`` is called once per map, ``submit_chunk`` once per chunk, ``release`` once when the map has ended,
    whatever the end; all of them in the thread that consumes the map.

    Attributes:
        times_items: Whether the executor itself ends an item at its ``item_timeout``. Where it does not, the engine
            gives it one item per worker at a time and calls ``give_up`` when the time is over.
    """

    times_items: bool

    def prepare(self, fn: Callable[..., Any]) -> Any:
        """Ship the callable once; what is returned goes into every ``submit_chunk`` of this map."""

    def submit_chunk(self, prepared: Any, chunk: Chunk) -> Future[ChunkOutcome]:
        """Run the callable on every item of the chunk in one worker.

        The future's exception is for failures of the executor itself (it was shut down). Whatever an item causes,
        the death of its worker and its timeout included, is in the outcome's failures, at the item's position.
        Cancelling the future of a chunk that has not begun withdraws it.
        """

    def end_chunk(self, future: Future[ChunkOutcome]) -> None:
        """Stop caring for a chunk: withdraw the items that have not begun; nobody waits for the others."""

    def give_up(self, future: Future[ChunkOutcome]) -> bool:
        """Stop waiting for the item that runs; called only where ``times_items`` is not set.

        Returns:
            Whether another worker has taken the place of its worker. Where none has, the engine sends fewer items
            until the future is done.
        """

    def release(self, prepared: Any) -> None:
        """Forget the callable."""


@runtime_checkable
class SharingExecutor(Protocol):
    """What a native executor implements to share an object with its workers better than by pickling it."""

    def share(self, obj: Any) -> Shared[Any]:
        """Return a small reference whose ``get()`` gives the object in every worker."""


@runtime_checkable
class KillableExecutor(Protocol):
    """What an executor implements whose workers can be ended in the middle of a call.

    The name is that of ``concurrent.futures.ProcessPoolExecutor.kill_workers``, so that one has it from Python 3.14 on.
    Of an executor that has nothing of the kind, calls that run are left behind: it is shut down without waiting.
    """

    def kill_workers(self) -> None:
        """Take no more calls, end the workers with what they run, and fail or cancel every future; wait for no call.

        May be called again, from any thread, and while another one waits in ``shutdown``.
        """


@runtime_checkable
class AttendedExecutor(Protocol):
    """What a native executor implements whose answers the waiting thread can bring in itself.

    It spares the switch to a thread of the executor, which costs more than a small chunk takes, and up to 5 ms where
    the waiting thread is busy between.
    """

    def attend(self, seconds: float | None, ready: Callable[[], object]) -> bool:
        """Bring in the answers that come first, waiting at most ``seconds`` for them, None for ever.

        Args:
            seconds: How long to wait.
            ready: Asked once no other thread can bring anything in; where it gives true there is nothing to wait for.

        Returns:
            Whether the calling thread did so; False where another thread is at it, and futures will be done by it.
        """
