"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import contextlib
import threading

__all__ = ["Portal"]


class Portal:
    """An event loop that runs in a daemon thread until it is stopped; idle, it sleeps in the selector.

    Nothing here changes after construction, and an event loop takes calls from other threads, so there is no lock.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        started = threading.Event()
        self.loop.call_soon(started.set)
        self._thread = threading.Thread(target=_run, args=(self.loop,), name=name, daemon=True)
        self._thread.start()
        started.wait()

    def stop(self) -> None:
        """End the thread as soon as it is idle. Any thread may call, more than once."""
        with contextlib.suppress(RuntimeError):  # it has ended before
            self.loop.call_soon_threadsafe(self.loop.stop)

    def join(self) -> None:
        """Wait for the thread to end."""
        self._thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    interrupted = True
    while interrupted:
        try:
            loop.run_forever()
            interrupted = False
        except (KeyboardInterrupt, SystemExit):  # raised by a batch function: its callers have been told
            continue
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
