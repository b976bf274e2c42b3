"""Objects that live in Ray workers; they import them from here by name."""

import asyncio
import os
import time
from pathlib import Path

__all__ = ["Counter", "Meeting"]


class Counter:
    def __init__(self, value, closed=None):
        self.value = value
        self.closed = closed

    def add(self, amount):
        self.value += amount
        return self.value

    def pid(self):
        return os.getpid()

    def node(self):
        import ray

        return ray.get_runtime_context().get_node_id()

    def double(self, item):
        return 2 * item

    def fail(self):
        return 1 / 0

    def die(self):
        os._exit(3)

    def sleep_on_two(self, item):
        if item == 2:
            time.sleep(600)
        return item

    def close(self):
        if self.closed is not None:
            Path(self.closed).write_text(str(self.value))


class Meeting:
    """Lets nobody go before all are there."""

    def __init__(self, expected):
        self.expected = expected
        self.here = 0
        self.all_here = asyncio.Event()

    async def meet(self):
        self.here += 1
        if self.here == self.expected:
            self.all_here.set()
        await self.all_here.wait()
        return self.here
