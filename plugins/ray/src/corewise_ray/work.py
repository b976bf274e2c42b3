"""What a Ray worker does for a chunk: becomes a corewise worker, runs the items, and packs the answer."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from ray import cloudpickle

from corewise.errors import BackendWarning
from corewise.executors.chunks import run_chunk
from corewise.executors.deferred import Deferred
from corewise.executors.frozen import freeze
from corewise.executors.late_start import start_before
from corewise.executors.transfer import dumps, pack_exception
from corewise.executors.worker import enter_process
from corewise_ray import logs, notices, tensors
from corewise_ray.callables import ShippedCallable
from corewise_ray.clock import limited
from corewise_ray.withdrawal import install, withdrawable

__all__ = ["Answer", "How", "Outcome", "Start", "Wishes", "keep", "pack", "run", "run_chunk_on_ray"]

OPENMP = "OMP_NUM_THREADS"
Answer = tuple[list[Any], dict[int, bytes] | None, float, Any, notices.Notice | None]
"""Results, packed exceptions by position, seconds, log records of the worker, and what is not as asked in it."""


Outcome = tuple[list[Any], dict[int, BaseException] | None, float]


@attrs.frozen
class How:
    """How the items of a chunk run.

    Attributes:
        star: Whether an item is a tuple of arguments.
        stop_on_error: Whether the items after the first failing one need not run.
        item_timeout: Seconds that the item may take, None for no limit.
        mark: What the executor finds if the item is ended with its process, and sets to withdraw the chunk.
        sent: The time of day when it was sent, in seconds.
        live: Tokens of the callables that are in use.
    """

    star: bool
    stop_on_error: bool
    item_timeout: float | None
    mark: bytes
    sent: float
    live: tuple[bytes, ...]


@attrs.frozen
class Wishes:
    """What a worker is to do when it starts.

    Attributes:
        at_once: Whether ``start_worker`` is to be called, whatever limits the process has already.
        before: Modules before whose import it is to be called.
        pools: Import names of libraries that keep the pool they have built: where one is loaded already, only a call
            of ``start_worker`` tells what holds.
        tensors: Whether tensors are sent without a copy.
        version: The parent's version of corewise.
    """

    at_once: bool
    before: tuple[str, ...]
    pools: tuple[str, ...]
    tensors: bool
    version: str


@attrs.frozen
class Start:
    """Makes the process that it arrives in a worker of an executor, once.

    It is the first argument of a task, so that variables and the import path are set before the items are loaded.

    Attributes:
        token: Which executor.
        data: The pickle of its variables, the parent's import path, the levels of the parent's loggers, the wishes,
            ``start_worker``, and the pickled record of the worker.
    """

    token: bytes
    data: bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.token, self.data)

    def __call__(self) -> None:
        """Adopt the share of the machine, unless this process has done so for the same executor.

        ``start_worker`` imports much. Where the process is limited as asked already, it is put off until a library is
        imported that needs it, and the record of the worker is loaded when it is asked for.
        """
        if _state.started == self.token:
            return
        _, _, levels, wishes, start_worker, worker = pickle.loads(self.data)
        logs.collect(levels)
        install()
        if wishes.tensors:
            tensors.register()
        here = any(name in sys.modules for name in (*wishes.before, *wishes.pools))
        limited = wishes.at_once or here or not _is_limited()
        # In any case it takes the place of what an earlier executor has put off.
        start_before(() if limited else wishes.before, lambda: start_worker(pickle.loads(worker)))
        if limited:
            with warnings.catch_warnings():
                # They would end here; the notice brings them to the parent.
                warnings.simplefilter("ignore", BackendWarning)
                start_worker(pickle.loads(worker))
        else:
            enter_process(worker)
        _state.notice = notices.look(wishes.version, _state.kept, limited=limited)
        _state.started = self.token


def _arrive(token: bytes, data: bytes) -> Start:
    if _state.arrived != token:
        environment, path, *_ = pickle.loads(data)
        kept = _state.kept = {}
        for name, value in environment.items():
            if name in _state.variables or name not in os.environ:
                os.environ[name] = value
                _state.variables.add(name)
            elif os.environ[name] != value and name.endswith("_THREADS"):
                kept[name] = os.environ[name], value
        _state.openmp = environment.get(OPENMP)
        # Ray makes importable what lies beside the program, and no other directory that its parent added.
        sys.path.extend(entry for entry in path if entry not in sys.path and Path(entry).exists())
        _state.arrived = token
    if _state.openmp is not None:
        # Ray sets it for each task where it is not set, and takes it away afterwards.
        os.environ[OPENMP] = _state.openmp
    return Start(token, data)


def _is_limited() -> bool:
    """Whether the libraries that this process has loaded, numpy by Ray itself, have no more threads than asked for."""
    import threadpoolctl

    wanted = _state.openmp
    return wanted is None or all(str(pool["num_threads"]) == wanted for pool in threadpoolctl.threadpool_info())


@attrs.define
class _State:
    """What this process knows of itself as a worker. Chunks run one at a time, so it needs no lock.

    Attributes:
        arrived: The executor whose variables and import path it has.
        started: The executor whose worker it is.
        openmp: The threads of OpenMP, where they are limited.
        variables: Names of the variables that were set here, not by the user of this machine.
        kept: Variables of the node that were left as they are: their values, and those that were asked.
        notice: What is not as asked, until an answer takes it.
    """

    arrived: bytes = b""
    started: bytes = b""
    openmp: str | None = None
    variables: set[str] = attrs.field(factory=lambda: {OPENMP})  # which Ray sets in every worker
    kept: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    notice: notices.Notice | None = None


_state = _State()


def run_chunk_on_ray(start: Start, shipped: ShippedCallable, items: list[Any], how: How) -> Answer:
    """Run the callable on every item; nothing that an item raises escapes."""
    return pack(*run(start, shipped, items, how))


def run(start: Start, shipped: ShippedCallable, items: list[Any], how: How) -> Outcome:
    """Become a worker and run the callable on every item; return results, failures and seconds."""
    try:
        start()
        fn = shipped.load(how.live)
    except Exception as error:  # noqa: BLE001 - no item can run here: each says why
        return [None] * len(items), dict.fromkeys(range(len(items)), error), 0.0
    with withdrawable(items, how.mark, how.sent):
        return run_chunk(_limit(fn, how), items, star=how.star, stop_on_error=how.stop_on_error, freeze=keep)


def pack(results: list[Any], failures: dict[int, BaseException] | None, seconds: float) -> Answer:
    """Make an answer that Ray can pickle, whatever the results and errors are."""
    packed = {position: pack_exception(error) for position, error in (failures or {}).items()}
    _check(results, packed)
    notice, _state.notice = _state.notice, None
    return results, packed or None, seconds, logs.collected(), notice


def _limit(fn: Callable[..., Any], how: How) -> Callable[..., Any]:
    if how.item_timeout is None:
        return fn

    def call(*arguments: Any) -> Any:
        with limited(how.item_timeout, how.mark):
            return fn(*arguments)

    return call


def keep(references: int, result: Any) -> Any:
    """Return what a result is now, for Ray pickles the whole answer later; takes what ``frozen.freeze`` takes.

    One that is to come later is left to who waits for it.
    """
    return result if type(result) is Deferred or type(result) in _SURE else freeze(references, result, _dumps)


def _dumps(obj: Any, minimum: int) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle as Ray does, which knows tensors and its own references, and leave large buffers out."""
    buffers: list[pickle.PickleBuffer] = []

    def take(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < minimum:
            return True
        buffers.append(buffer)
        return False

    pickled: Callable[..., bytes] = cloudpickle.dumps
    return pickled(obj, protocol=5, buffer_callback=take), buffers


_SURE = frozenset({bool, bytes, complex, float, int, str, type(None)})


def _check(results: list[Any], packed: dict[int, bytes]) -> None:
    """Turn each result that cannot travel into the failure of its item: Ray would fail the task with all others."""
    if len(results) > 1 or {*map(type, results)} <= _SURE:  # of several, each has been pickled already
        return
    for position, result in enumerate(results):
        if type(result) not in _SURE and not _is_plain_array(result):
            try:
                dumps(result, 0)
            except Exception as error:  # noqa: BLE001 - it is this item's failure
                packed[position] = pack_exception(error)
                results[position] = None


def _is_plain_array(result: Any) -> bool:
    kind = type(result)
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not result.dtype.hasobject
