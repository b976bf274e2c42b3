"""Objects for workers to hold: a worker process imports their classes from here by name."""

import asyncio
import threading
from pathlib import Path

import corewise


class Counter:
    def __init__(self, start=0):
        self.count = start

    def add(self, n):
        self.count += n
        return self.count

    def double(self, x):
        return 2 * x

    def divide(self, x, y):
        return x // y

    def cpus(self):
        return corewise.get_parallel_config().num_cpus


def refuse():
    raise ValueError("no model")


class Async:
    async def echo(self, x):
        await asyncio.sleep(0)
        return x

    def plain(self, x):
        asyncio.get_running_loop()
        return x + 1

    async def fail(self):
        raise KeyError("k")


async def make_async():
    await asyncio.sleep(0)
    return Async()


class Gate:
    def __init__(self):
        self.opened = asyncio.Event()
        self.inside = 0
        self.most = 0

    async def wait(self):
        await self.opened.wait()
        return "through"

    async def open(self):
        self.opened.set()
        return "opened"

    async def most_at_once(self, _):
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(20):
            await asyncio.sleep(0)
        self.inside -= 1
        return self.most


class Exclusive:
    def __init__(self):
        self.lock = threading.Lock()

    def enter(self, _):
        if not self.lock.acquire(blocking=False):
            return False
        self.lock.release()
        return True


class Blocker:
    begun = threading.Event()
    release = threading.Event()

    def block(self):
        self.begun.set()
        self.release.wait(60)
        return self.name()

    def name(self):
        return threading.current_thread().name


class Noting:
    def __init__(self, log):
        self.log = log

    def note(self, text):
        self.log.append(text)


class Closes(Noting):
    def close(self):
        self.note("ended")


class CleansUp(Noting):
    def cleanup(self):
        self.note("ended")


class ClosesAsync(Noting):
    async def aclose(self):
        await asyncio.sleep(0)
        self.note("ended")


class ClosesBadly:
    def close(self):
        raise OSError("stuck lid")


class Handover:
    """Its calls take many turns of the event loop, and tell whether it was still open when they ended."""

    def __init__(self):
        self.state = "open"

    async def take(self, x):
        for _ in range(2000):
            await asyncio.sleep(0)
        return x, self.state

    async def inside(self):
        pass

    async def close(self):
        self.state = "closed"


class Lives:
    """Writes down that it was made, and that it was closed."""

    def __init__(self, path):
        self.path = path
        self.note("made")

    def note(self, text):
        with Path(self.path).open("a") as file:
            file.write(text + "\n")

    def nothing(self):
        pass

    def close(self):
        self.note("closed")
