"""Every fault that the spawn pool must stand, in every way that work reaches it: what happens is measured once."""

import asyncio
import functools
import gc
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import psutil
import spawned

from corewise.actor_pool import ActorPool
from corewise.executors.failure import Failure

ITEMS = 12
BAD = 5
"""The item that is at fault; all others must have their result."""
WAYS = ("submit", "ordered map", "unordered map", "actors", "async actors")
NARROW = bool(os.environ.get("TESTS_NARROW"))
"""Whether the longest tests try less: set for the one interpreter of `.ci/run` that both neighbours of try all."""
PATIENCE = 5.0
"""Seconds within which what is left must be gone: a task's own child may take 0.3 s."""


@attrs.frozen(kw_only=True)
class Fault:
    """What goes wrong with one item, or with the workers.

    Attributes:
        act: What the item does in its worker; called with a path to note its runs in.
        argument: What the item is instead of its number.
        settings: Settings of the pool.
        options: Options of maps; actors are then asked by a map, too.
        start: The pool's start hook.
        environments: What is added to the environment of each worker in turn; nothing once they are used up.
        factory: What makes the object of an actor; only actors have one.
        all_fail: Whether every item has the same fate.
    """

    act: Callable[[str], Any] | None = None
    argument: Any = None
    settings: dict[str, Any] = attrs.field(factory=dict)
    options: dict[str, Any] = attrs.field(factory=dict)
    start: Callable[[Any], None] | None = None
    environments: tuple[dict[str, str], ...] = ()
    factory: Callable[[Any], Any] | None = None
    all_fail: bool = False

    def ways(self) -> tuple[str, ...]:
        """Return how work can meet this fault."""
        able = [
            way for way in WAYS if (not self.options or way != "submit") and (self.factory is None or "actors" in way)
        ]
        return tuple(able[:1] if NARROW else able)


@attrs.frozen(kw_only=True)
class Seen:
    """What happened.

    Attributes:
        got: What the caller got for the item at fault, in words.
        outcome: The result or exception itself, as text.
        runs: How often the item ran.
        seconds: How long all took, the start and the end of the pool included.
        lost: How many of the other items have no result, or a wrong one.
        processes: How many processes are left.
        blocks: How many blocks of shared memory are left, mapped, open or named.
    """

    got: str
    runs: int
    seconds: float
    lost: int
    processes: int
    blocks: int


class Work:
    """Gives an item back in a large array, but for the one at fault; is itself large."""

    def __init__(self, fault: Fault, path: str) -> None:
        self.act, self.path = fault.act, path
        self.ballast = np.ones(20_000)

    def __call__(self, item: Any) -> Any:
        if self.act is not None and item == BAD:
            return self.act(self.path)
        return np.full(10_000, item) if isinstance(item, int) else item


class Doer:
    """An object that works, as an actor."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def do(self, item: Any) -> Any:
        return self.work(item)


class AsyncDoer(Doer):
    """The same with an async method."""

    async def do(self, item: Any) -> Any:
        await asyncio.sleep(0)
        return self.work(item)


def refuse(work: Work) -> None:
    raise ValueError("no such model")


def exceed_memory(path: str) -> str:
    """Keep more than the pool allows a worker."""
    spawned.note(path)
    spawned.keep(bytearray(b"x") * (300 << 20))
    return "kept"


def sleep_long(path: str) -> None:
    spawned.note(path)
    time.sleep(600)


NOWHERE = {"PYTHONHOME": "/nowhere"}
FAULTS = {
    "SIGKILL": Fault(act=spawned.kill_self),
    "SIGSEGV": Fault(act=spawned.segfault),
    "a C-level abort": Fault(act=spawned.abort),
    "`os._exit(0)`": Fault(act=spawned.leave),
    "a child that outlives its killed worker": Fault(act=spawned.fork_and_die),
    "`sys.exit(3)`": Fault(act=spawned.system_exit),
    "KeyboardInterrupt in a task": Fault(act=spawned.interrupt),
    "no memory, by RLIMIT_AS": Fault(act=spawned.out_of_memory),
    "an exception that cannot be pickled": Fault(act=spawned.raise_unpicklable),
    "an exception whose `__init__` needs arguments": Fault(act=spawned.raise_two_arguments),
    "a result that cannot be pickled": Fault(act=spawned.return_unpicklable),
    "a result that cannot be unpickled": Fault(act=spawned.return_unloadable),
    "an argument that cannot be pickled": Fault(argument=spawned.Unpicklable()),
    "an argument that cannot be unpickled": Fault(argument=spawned.Unloadable()),
    "an argument that ends the worker that unpickles it": Fault(argument=spawned.Deadly()),
    "closed standard streams": Fault(act=spawned.close_streams),
    "a task that forks": Fault(act=spawned.fork_and_return),
    "one worker that dies while it starts": Fault(environments=(NOWHERE,)),
    "every worker dies while it starts": Fault(environments=(NOWHERE,) * 99, all_fail=True),
    "a start hook that raises": Fault(start=spawned.fail_to_start, all_fail=True),
    "a factory that raises": Fault(factory=refuse, all_fail=True),
    "an item that runs longer than `item_timeout`": Fault(act=sleep_long, options={"item_timeout": 4.0}),
    "`max_tasks_per_worker` is reached": Fault(settings={"max_tasks_per_worker": 2}),
    "`max_memory_per_worker` is exceeded": Fault(act=exceed_memory, settings={"max_memory_per_worker": 200 << 20}),
}
CASES = [(name, way) for name, fault in FAULTS.items() for way in fault.ways()]


@functools.cache
def seen(name: str, way: str) -> Seen:
    """Let a fault happen, and look at what the caller gets and what is left."""
    fault = FAULTS[name]
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "runs")
        begin = time.perf_counter()
        outcomes = _outcomes(fault, way, Work(fault, str(path)), mark)
        seconds = time.perf_counter() - begin
        runs = len(path.read_bytes()) if path.exists() else 0
    bad = outcomes.pop(BAD)
    others = list(outcomes.values())
    if fault.all_fail:
        lost = sum(_told(other) != _told(bad) for other in others)
    else:
        lost = sum(not _right(outcomes.get(item), item) for item in range(ITEMS) if item != BAD)
    got = _told(bad)
    del outcomes, others, bad
    return Seen(got=got, runs=runs, seconds=seconds, lost=lost, processes=_processes(mark), blocks=_blocks())


def _outcomes(fault: Fault, way: str, work: Work, mark: str) -> dict[int, Any]:
    """Return the result or the exception of each item."""
    items = [item if item != BAD or fault.argument is None else fault.argument for item in range(ITEMS)]
    left = iter(fault.environments)

    def make(workers: int) -> Any:
        return spawned.make_executor(
            workers, start=fault.start, env=lambda: {"FAULT": mark, **next(left, {})}, **fault.settings
        )

    if way == "submit":
        with make(2) as executor:
            futures = [executor.submit(work, item) for item in items]
            return dict(enumerate(map(spawned.outcome, futures)))
    if "map" in way:
        with make(2) as executor:
            return _mapped(lambda: executor.map(work, items, on_error="return", ordered=way[0] == "o", **fault.options))
    factory = fault.factory or (AsyncDoer if "async" in way else Doer)
    pool: ActorPool[Any] = ActorPool([make(1), make(1)], (factory, (work,), {}), 64)
    try:
        if fault.options:
            return _mapped(lambda: pool.map("do", items, on_error="return", **fault.options))
        futures = [pool.call("do", item) for item in items]
        return dict(enumerate(map(spawned.outcome, futures)))
    finally:
        pool.close()


def _mapped(start: Callable[[], Any]) -> dict[int, Any]:
    found = spawned.outcome_of(lambda: list(start()))
    if isinstance(found, BaseException):
        return dict.fromkeys(range(ITEMS), found)
    outcomes = {result.index: result.error for result in found if isinstance(result, Failure)}
    outcomes |= {int(result[0]): result for result in found if isinstance(result, np.ndarray)}
    return {BAD: next((x for x in found if isinstance(x, str)), None)} | outcomes


def _right(outcome: Any, item: int) -> bool:
    return isinstance(outcome, np.ndarray) and outcome.shape == (10_000,) and bool((outcome == item).all())


def _told(outcome: Any) -> str:
    if not isinstance(outcome, BaseException):
        return "its result"
    code = getattr(outcome, "exitcode", None)
    return f"`{type(outcome).__name__}`" + ("" if code is None else f", exit code {code}")


def _processes(mark: str) -> int:
    """Return how many processes are left once what is told to end has had its time."""
    mine = [process for process in psutil.process_iter() if _marked(process, mark)]
    _, alive = psutil.wait_procs(mine, timeout=PATIENCE)
    return len(alive)


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("FAULT") == mark
    except psutil.Error:
        return False


def _blocks() -> int:
    """Return how many blocks this process still maps or has open; an interpreter may let go a little later."""
    deadline = time.monotonic() + PATIENCE
    while (count := _count_blocks()) and time.monotonic() < deadline:
        gc.collect()
    return count


def _count_blocks() -> int:
    maps = Path("/proc/self/maps").read_text().count("/memfd:corewise")
    links = [spawned.outcome_of(functools.partial(os.readlink, file)) for file in Path("/proc/self/fd").iterdir()]
    return maps + sum("memfd:corewise" in str(link) for link in links)
