"""What becomes at exit of multiprocess objects that nobody closed: they end without waiting for what they run.

No caller is left then. Executors wait at exit for what was submitted, so this has to come before they do.
"""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Any, Protocol

from corewise.actor_pool import ActorPool

__all__ = ["watch_pool", "watch_start"]


class Start(Protocol):
    """An attempt to start workers."""

    def stop_unless_done(self) -> None:
        """End it, unless it has ended."""


_starts: weakref.WeakSet[Start] = weakref.WeakSet()
_pools: weakref.WeakSet[ActorPool[Any]] = weakref.WeakSet()
"""Both hold what is under way: the thread that starts, and the calls of a pool, keep these alive."""


def watch_start(start: Start) -> None:
    """Stop an attempt that still goes on at exit."""
    _starts.add(start)


def watch_pool(pool: ActorPool[Any]) -> None:
    """Abandon a pool that is busy at exit; called when its executors are made."""
    _pools.add(pool)
    # What was registered last is called first: before the hooks of all modules of executors, which are imported now.
    atexit.unregister(_end_all)
    atexit.register(_end_all)


def _end_all() -> None:
    for start in list(_starts):
        start.stop_unless_done()
    for pool in list(_pools):
        if pool.busy:
            pool.abandon()


def _forget_all() -> None:
    """Leave to the parent what it has started, in a child that was forked."""
    global _starts, _pools
    _starts, _pools = weakref.WeakSet(), weakref.WeakSet()


os.register_at_fork(after_in_child=_forget_all)
