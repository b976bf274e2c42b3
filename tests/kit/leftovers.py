"""What a test may leave behind in its process, observed cheaply before and after it and compared.

An observer returns what it sees as a dictionary; a rule says which differences between two of them are leftovers.
Nothing here has state but the cached view of the thread pools, which only the thread that runs the tests touches.
"""

import gc
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import psutil

__all__ = ["KINDS", "Leftover", "leftovers", "observe", "outliving", "settle"]

SETTLE_SECONDS = 5.0
"""How long what was told to end may take to do so; waited for by event, and only where something is left."""

SHARED_MEMORY = "/dev/shm"
"""Where blocks of shared memory have names."""

View = dict[Any, Any]


def environment() -> View:
    """Return the variables, without those that pytest (its progress) and the import of threadpoolctl set."""
    view = dict(os.environ)
    for name in ("PYTEST_CURRENT_TEST", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"):
        view.pop(name, None)
    return view


def signal_handlers() -> View:
    """Return the handlers that an executor could change."""
    return {number.name: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}


class _Pools:
    """The native thread pools of this process; looked up anew only after something was imported."""

    def __init__(self) -> None:
        self._modules = -1
        self._controllers: list[Any] = []

    def view(self) -> View:
        if "numpy" not in sys.modules and "threadpoolctl" not in sys.modules:
            return {}
        if self._modules != len(sys.modules):
            import threadpoolctl

            self._controllers = threadpoolctl.ThreadpoolController().lib_controllers
            self._modules = len(sys.modules)
        return {pool.filepath: pool.num_threads for pool in self._controllers}


_pools = _Pools()


def thread_limits() -> View:
    """Return the threads of each native pool and of torch."""
    view = _pools.view()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        view["torch"] = torch.get_num_threads()
    return view


def import_hooks() -> View:
    """Return the finders of corewise, which apply a limit to what is imported later."""
    return {repr(finder): finder for finder in sys.meta_path if type(finder).__module__.startswith("corewise")}


def runtime() -> View:
    """Return what corewise itself keeps for the process: all that ``corewise.reset()`` forgets."""
    module = sys.modules.get("corewise.runtime")
    if module is None:
        return {}
    kept = {"runtime": module._runtime, "configuration": module._configuration}
    if module._runtime is not None:
        kept |= module._runtime.kept.executors
    return {name: value for name, value in kept.items() if value is not None}


def threads() -> View:
    """Return the threads that keep an interpreter alive, and every thread of corewise."""
    return {
        thread: thread.name
        for thread in threading.enumerate()
        if not thread.daemon or thread.name.startswith("corewise")
    }


def child_processes() -> View:
    """Return the direct children, zombies too. The resource tracker of multiprocessing lives as long as we do."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children") as children:
            found.update(map(int, children.read().split()))
    found.discard(_resource_tracker("_pid"))
    return dict.fromkeys(found)


def file_descriptors() -> View:
    """Return the open descriptors by number and target."""
    view = {}
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            view[int(number), target] = target
    tracker = _resource_tracker("_fd")
    return {key: target for key, target in view.items() if key[0] != tracker and not _harmless(target)}


def _harmless(target: str) -> bool:
    """Whether a library keeps such a descriptor by design, or it was the one that listed the others."""
    return target.startswith("/dev/") or target.endswith("/fd")


def shared_memory() -> View:
    """Return the names of the shared-memory blocks of this machine."""
    return dict.fromkeys(os.listdir(SHARED_MEMORY))


def _resource_tracker(attribute: str) -> int | None:
    module = sys.modules.get("multiprocessing.resource_tracker")
    return getattr(module._resource_tracker, attribute, None) if module else None


def changed(before: View, after: View) -> Iterator[str]:
    """Tell every difference."""
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield f"{key} was {before.get(key)!r}, is {after.get(key)!r}"


def changed_in_both(before: View, after: View) -> Iterator[str]:
    """Tell what was there before and differs: a library that was loaded meanwhile has no earlier value."""
    return changed({key: before[key] for key in before if key in after}, {k: after[k] for k in after if k in before})


def added(before: View, after: View) -> Iterator[str]:
    """Tell what is new."""
    for key in after.keys() - before.keys():
        yield f"{after[key] or key}"[:200]


def added_children(before: View, after: View) -> Iterator[str]:
    """Tell new children by state and command."""
    for pid in after.keys() - before.keys():
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            yield f"{pid} ({process.status()}) {_command(pid)}"


def added_blocks(before: View, after: View) -> Iterator[str]:
    """Tell new blocks that are ours: other programs of this machine make theirs at the same time."""
    names = after.keys() - before.keys()
    if not names:
        return
    holders = _holders(names)
    family = _family()
    for name in names:
        if holders[name] & family or (name.startswith("corewise") and not holders[name]):
            yield f"{SHARED_MEMORY}/{name}"


def _family() -> set[int]:
    own = psutil.Process()
    return {own.pid, *(child.pid for child in own.children(recursive=True))}


def _holders(names: set[str]) -> dict[str, set[int]]:
    """Return which processes map each block or hold it open."""
    holders: dict[str, set[int]] = {name: set() for name in names}
    for pid in psutil.pids():
        held = _held_blocks(pid)
        for name in names & held:
            holders[name].add(pid)
    return holders


def _held_blocks(pid: int) -> set[str]:
    held = set()
    with suppress(OSError):
        held.update(
            line.rsplit("/dev/shm/", 1)[1]
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
            if "/dev/shm/" in line
        )
    with suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                held.add(os.readlink(f"/proc/{pid}/fd/{number}").rpartition("/dev/shm/")[2])
    return held


def _command(pid: int) -> str:
    with suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())[:200]
    return "?"


@attrs.frozen
class Kind:
    """One kind of leftover: how it is seen, and which differences count."""

    observe: Callable[[], View]
    differences: Callable[[View, View], Iterator[str]]


KINDS = {
    "environment": Kind(environment, changed),
    "signal handlers": Kind(signal_handlers, changed),
    "thread limits": Kind(thread_limits, changed_in_both),
    "import hooks": Kind(import_hooks, added),
    "runtime": Kind(runtime, added),
    "threads": Kind(threads, added),
    "child processes": Kind(child_processes, added_children),
    "file descriptors": Kind(file_descriptors, added),
    "shared memory": Kind(shared_memory, added_blocks),
}


@attrs.frozen
class Leftover:
    """One thing that a test left.

    Attributes:
        kind: A key of ``KINDS``.
        text: What it is.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def observe() -> dict[str, View]:
    """Return what every observer sees now."""
    return {name: kind.observe() for name, kind in KINDS.items()}


def leftovers(before: dict[str, View], allowed: tuple[str, ...] = ()) -> list[Leftover]:
    """Return what differs now from ``before``, after what was ending has had the time to end.

    Args:
        before: What ``observe`` returned.
        allowed: Kinds that do not matter.
    """
    if not _differences(before, observe(), allowed):
        return []
    gc.collect()
    settle(before)
    return _differences(before, observe(), allowed)


def _differences(before: dict[str, View], after: dict[str, View], allowed: tuple[str, ...]) -> list[Leftover]:
    return [
        Leftover(name, text)
        for name, kind in KINDS.items()
        if name not in allowed and before[name] != after[name]
        for text in kind.differences(before[name], after[name])
    ]


def settle(before: dict[str, View]) -> None:
    """Wait until new threads and children have ended, at most SETTLE_SECONDS; a child is waited for, never reaped."""
    deadline = time.monotonic() + SETTLE_SECONDS
    for thread in threads().keys() - before["threads"].keys():
        thread.join(max(0.0, deadline - time.monotonic()))
    wait_for_exit(child_processes().keys() - before["child processes"].keys(), deadline)


def wait_for_exit(pids: set[int], deadline: float) -> None:
    """Wait until the processes have ended or the time of ``time.monotonic`` has come, without reaping them."""
    for pid in pids:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            finally:
                os.close(descriptor)


def outliving(variable: str, value: str) -> list[str]:
    """Return every other process that inherited the variable and does not end within SETTLE_SECONDS."""
    marked = f"{variable}={value}".encode()
    found = {pid for pid in psutil.pids() if pid != os.getpid() and marked in _environ(pid)}
    found.discard(_resource_tracker("_pid"))
    wait_for_exit(found, time.monotonic() + SETTLE_SECONDS)
    return [f"{pid} {_command(pid)}" for pid in found if marked in _environ(pid)]


def _environ(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []
