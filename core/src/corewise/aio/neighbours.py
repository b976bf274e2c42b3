"""Which event loops serve one batch function only."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from corewise.aio.lane import Lane

__all__ = ["meet"]

_Lanes: TypeAlias = "weakref.WeakSet[Lane]"

# The lanes of one batch function in each event loop, or None where there have been several functions; _lock guards it.
_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lanes | None] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def meet(lane: Lane) -> bool:
    """Say whether a new lane is in company with another batch function's; call ``join_others`` on those it meets.

    Where a loop serves one function only, a request cannot come from another one's batch, so none has to be asked
    for its context.
    """
    with _lock:
        try:
            lanes = _by_loop.setdefault(lane.loop, weakref.WeakSet())
        except TypeError:  # a loop of another making that knows no weak references
            return True
        if lanes is None:
            return True
        lanes.add(lane)
        company = list(lanes)
        if all(other.shared.calls is lane.shared.calls for other in company):
            return False
        _by_loop[lane.loop] = None
    for other in company:
        other.join_others()
    return True
