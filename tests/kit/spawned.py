"""Pools for tests of the spawn executor, made without a runtime, and the functions that they run."""

import asyncio
import contextvars
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

from corewise.builtin.spawn.plugin import corewise_executors
from corewise.builtin.spawn.settings import SpawnSettings
from corewise.executors.contract import ExecutorRequest
from corewise.executors.facade import Executor
from corewise.executors.worker import Worker

PLACE = contextvars.ContextVar("PLACE", default="nowhere")
KIT = str(Path(__file__).parent)


def nothing(worker):
    pass


def make_executor(workers=2, *, start=None, stop=None, env=None, **settings):
    factory = corewise_executors()[0]
    request = ExecutorRequest(
        workers=workers,
        settings=SpawnSettings(**settings),
        worker=lambda index: Worker(index, workers, "spawn", {"share": index}),
        environment=lambda index: {**os.environ, **(env() if callable(env) else env or {})},
        start_worker=start or nothing,
        stop_worker=stop or nothing,
        hooks_in_workers=start is not None or stop is not None,
    )
    return Executor(factory, request, factory.create(request))


def note(path):
    """Count a run: one byte appended, atomically."""
    with Path(path).open("ab", buffering=0) as file:
        file.write(b"x")


def open_files():
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def runs(path):
    """Return how many runs were counted."""
    return len(Path(path).read_bytes())


def double(x):
    return 2 * x


def at(array, i):
    return array[i]


def pid(*_):
    return os.getpid()


def wait_for(path, x=None):
    """Return ``x`` once the file is there."""
    while not Path(path).exists():
        time.sleep(0.002)
    return x


def touch_and_wait(begun, release):
    Path(begun).touch()
    return wait_for(release)


def kill_self(path):
    note(path)
    os.kill(os.getpid(), signal.SIGKILL)


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def segfault(path):
    note(path)
    ctypes.string_at(0)


def abort(path):
    note(path)
    os.abort()


def leave(path):
    note(path)
    os._exit(0)


def system_exit(path):
    note(path)
    sys.exit(3)


def interrupt(path):
    note(path)
    raise KeyboardInterrupt


def out_of_memory(path):
    """Meet a limit of memory as a container sets one, in a child's place: the limit ends with this call."""
    note(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 28, hard))
    try:
        return bytearray(1 << 32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def take_in_group(group, size, path):
    """Join a control group, then take so many bytes of memory."""
    note(path)
    (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    return len(b"x" * size)


def close_streams(path):
    note(path)
    os.close(1)
    os.close(2)
    return "closed"


def fork_and_return(path):
    note(path)
    child = os.fork()
    if child == 0:
        return "from the child"
    os.waitpid(child, 0)
    return "from the parent"


when_asked = []
"""What ``Asked`` does the next times that somebody asks for its module."""


class _Asks(type):
    @property
    def __module__(cls):
        while when_asked:
            when_asked.pop()()
        return __name__


class Asked(metaclass=_Asks):
    """A callable that knows when the pool looks where it comes from."""

    def __new__(cls, x):
        return 2 * x


def exit_code_of_child(error):
    """Fork, raise the error in the child, and return the child's exit code."""
    child = os.fork()
    if child == 0:
        if error is not None:
            raise error
        return "from the child"
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_and_die(path):
    """Leave a child that holds every descriptor, and die."""
    note(path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.write(1, b"")
        os.read(reading, 1)  # until the parent is gone
        time.sleep(0.3)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


class TwoArgumentsError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class HoldsLockError(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


def raise_two_arguments(path):
    note(path)
    raise TwoArgumentsError("one", "two")


def raise_unpicklable(path):
    note(path)
    raise HoldsLockError("with a lock")


class Unpicklable:
    def __reduce__(self):
        raise TypeError("cannot be pickled")


def explode():
    raise ValueError("cannot be unpickled")


class Unloadable:
    def __reduce__(self):
        return explode, ()


class NoText:
    """Neither loads nor says what it is."""

    def __reduce__(self):
        return sys.exit, (3,)

    def __repr__(self):
        raise ValueError("no text")


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (5,)


def return_unpicklable(path):
    note(path)
    return Unpicklable()


def return_unloadable(path):
    note(path)
    return Unloadable()


class OneOf:
    """Calls ``fault(path)`` for the item ``at``, gives the others back."""

    def __init__(self, at, fault, path):
        self.at, self.fault, self.path = at, fault, path

    def __call__(self, item):
        return self.fault(self.path) if item == self.at else item


def outcome_of(act):
    """Return what a call returns or raises."""
    try:
        return act()
    except BaseException as error:  # noqa: BLE001 - every outcome is looked at
        return error


def outcome(future):
    """Return the result or the exception of a future."""
    return outcome_of(lambda: future.result(60))


def runs_still(process):
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(process):
    deadline = time.monotonic() + 30
    while runs_still(process):
        assert time.monotonic() < deadline, "it never ended"
        time.sleep(0.005)


def log_something():
    logging.getLogger("app").warning("worth %s", "knowing")
    logging.getLogger("app.quiet").warning("not worth it")
    threading.Thread(target=logging.getLogger("app").error, args=("from a thread",)).start()


def mark_environment(worker):
    os.environ["STARTED"] = os.environ.get("STARTED", "") + str(worker.index)


def wait_where_told(begun, release, x):
    """Be quick as a rule, and long for the one item in the middle of many."""
    return touch_and_wait(begun, release) if x == 700 else x


class Counted:
    def __init__(self, path):
        self.value = 7
        self.path = path

    def __reduce__(self):
        return load_counted, (self.path,)


def load_counted(path):
    note(path)
    return Counted(path)


def read_shared(shared):
    return shared.get().value


def first_of(shared):
    return shared.get()[0]


def first_of_inner(shared):
    return first_of(shared.get()[0])


def noted_first_of(shared, path):
    note(path)
    return first_of(shared)


class Adder(Counted):
    def __call__(self, x):
        return x + 1

    def __reduce__(self):
        return load_adder, (self.path,)


def load_adder(path):
    note(path)
    return Adder(path)


def fail_to_start(worker):
    raise RuntimeError(f"worker {worker.index} has no licence")


def start_slowly(worker):
    time.sleep(1.5)


def work_a_little(x):
    time.sleep(0.001)
    return 2 * x


def keep(obj):
    sys.kept = [*getattr(sys, "kept", []), obj]


def settle(executor, condition):
    """Run tasks until a condition holds that follows from what was let go of before."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        gc.collect()
        executor.submit(double, 1).result()


def until(condition):
    """Wait until a condition holds that no event tells."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


class LoadsSlowly:
    """Takes half a second to be loaded, without letting go of the thread."""

    def __init__(self, path):
        note(path)
        self.value = 7

    def __setstate__(self, state):
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        self.__dict__.update(state)


def load_slowly_after(gate, path):
    wait_for(gate)
    return LoadsSlowly(path)


class PicklesSlowly:
    def __reduce__(self):
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass
        return int, (5,)


def fail_second(worker):
    if worker.index == 1:
        raise RuntimeError("no second licence")


def total_length(shared):
    return sum(len(each.get()) for each in shared)


def place(*_):
    return PLACE.get()


class Sleeper:
    """An object with async methods, as an actor."""

    def __init__(self, factor):
        self.factor = factor
        self.inside = 0
        self.all_here = asyncio.Event()

    async def meet(self, count, x):
        """Return once so many calls are inside at once."""
        self.inside += 1
        if self.inside == count:
            self.all_here.set()
        await self.all_here.wait()
        return x * self.factor

    async def fork(self, first):
        """Fork a child that comes back; the second call waits until it has ended."""
        if not first:
            await self.all_here.wait()
            return "waited"
        child = os.fork()
        if child:
            await asyncio.to_thread(os.waitpid, child, 0)
            self.all_here.set()
        return "forked"

    async def fork_in_thread(self, path):
        return await asyncio.to_thread(fork_and_return, path)

    async def busy(self, seconds):
        """Hold the event loop for a while; return for how many seconds."""
        begin = time.perf_counter()
        while (spent := time.perf_counter() - begin) < seconds:
            pass
        return spent

    async def die(self, path):
        note(path)
        os._exit(3)

    async def die_in_task(self):
        async def die():
            await asyncio.sleep(0)
            os._exit(3)

        await asyncio.gather(die(), asyncio.sleep(60))

    async def die_in_thread(self, seconds):
        def die():
            time.sleep(seconds)
            os._exit(3)

        await asyncio.to_thread(die)

    async def die_unseen(self, seconds):
        threading.Timer(seconds, os._exit, (3,)).start()
        await asyncio.sleep(60)

    async def die_afterwards(self):
        self.task = asyncio.ensure_future(self.die_once_answered())
        return "answered"

    async def die_once_answered(self):
        await asyncio.sleep(0.05)
        os._exit(3)

    async def sleep_or_die(self, item):
        if isinstance(item, str):
            await self.die(item)
        await asyncio.sleep(item)
        return item

    async def block(self, seconds):
        await asyncio.sleep(0)
        time.sleep(seconds)  # noqa: ASYNC251 - as code does that should not

    async def work(self, rounds, x=None):
        for _ in range(rounds):
            sum(range(2000))
            await asyncio.sleep(0)
        return x

    def pid(self):
        return os.getpid()


class Plain:
    """An object without async methods, as an actor."""

    def pid(self):
        return os.getpid()

    def work(self, x):
        time.sleep(0.001)
        return x

    def die(self, path):
        note(path)
        os._exit(3)


class SlowToMake(Plain):
    def __init__(self):
        time.sleep(1.0)


def lowest_free_file():
    """Return a limit of descriptors that leaves room for none."""
    file = os.dup(0)
    os.close(file)
    return file
