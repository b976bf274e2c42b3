"""Tasks of the executor suite: importable in every worker, and told what to do by files that both sides see."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self

from corewise.executors.worker import current_worker

__all__ = [
    "Gate",
    "add",
    "double",
    "fail_first",
    "fail_on_odd",
    "hold",
    "hold_first",
    "leave",
    "unpicklable",
    "worker_facts",
]

PATIENCE_SECONDS = 60.0
"""After so long a task that nobody lets through fails, so that no check hangs."""
POLL_SECONDS = 0.002


class Gate:
    """Tasks wait at it until it opens, and sign a book when they begin.

    It is a directory, as files are what every kind of worker on one machine can see. It has no state of its own.

    Example:
        >>> with Gate() as gate:
        ...     gate.open()
        ...     hold(gate.path, 1)
        1
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="corewise-gate-")
        self.path: str = self._directory.name

    def open(self) -> None:
        """Let everything through, from now on."""
        (Path(self.path) / "open").touch()

    def begun(self) -> int:
        """Return how many tasks have come to the gate."""
        return len(list(Path(self.path).glob("begun-*")))

    def wait_for(self, count: int) -> None:
        """Return when so many tasks have come to the gate.

        Raises:
            AssertionError: They did not come in 60 seconds.
        """
        _wait(lambda: self.begun() >= count, f"{count} tasks begin, {self.begun()} did")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        self._directory.cleanup()


def hold(gate: str, item: int) -> int:
    """Come to the gate, wait until it opens and return the item."""
    _sign(gate, item)
    door = Path(gate) / "open"
    # A gate that is gone lets everything through: its check is over.
    _wait(lambda: door.exists() or not door.parent.exists(), "the gate opens")
    return item


def hold_first(gate: str, item: int) -> int:
    """Wait at the gate with item 0; return every other one at once."""
    return hold(gate, item) if item == 0 else item


def fail_first(directory: str, failures: int, item: int) -> int:
    """Fail the first times that this item is tried, then return it."""
    tried = len(list(Path(directory).glob(f"begun-{item}-*")))
    _sign(directory, item)
    if tried < failures:
        raise ConnectionError(f"try {tried} of item {item}")
    return item


def fail_on_odd(item: int) -> int:
    """Return an even item; raise ValueError for an odd one."""
    if item % 2:
        raise ValueError(f"item {item} is odd")
    return item


def double(item: int) -> int:
    """Return twice the item."""
    return 2 * item


def add(first: int, second: int) -> int:
    """Return the sum."""
    return first + second


def leave(code: int) -> None:
    """Raise SystemExit, as a task that calls ``sys.exit`` does."""
    raise SystemExit(code)


def unpicklable(_: int) -> object:
    """Return what cannot leave a process."""
    return threading.Lock()


def worker_facts(_: int) -> tuple[str, int, int]:
    """Return executor, index and count of the worker that runs this; raises outside of workers."""
    worker = current_worker()
    if worker is None:
        raise LookupError("the task runs outside of any worker")
    return worker.executor, worker.index, worker.count


def _sign(gate: str, item: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        (Path(gate) / f"begun-{item}-{uuid.uuid4().hex}").touch()


def _wait(condition: Callable[[], bool], claim: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"expected within {PATIENCE_SECONDS} seconds: {claim}")
        # Files have no event that every platform and every kind of worker could wait for.
        time.sleep(POLL_SECONDS)
