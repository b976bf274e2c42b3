"""Objects whose calls tests spread over workers: a worker process imports their classes from here by name."""

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

import corewise
from corewise.executors.worker import current_worker


class Potential(corewise.ParallelOps):
    """Has a method of each kind, and counts the calls that its instance got."""

    kind = "potential"

    def __init__(self, scale=1, marks=None):
        self.scale = scale
        self.marks = marks
        self.vocabulary = ["a", "b"]
        self.calls = 0

    @property
    def size(self):
        return len(self.vocabulary)

    def spawn(self, scale=None):
        return Potential(self.scale if scale is None else scale, self.marks)

    def times(self, x, y=1):
        self.calls += 1
        return self.scale * x * y

    def batch_times(self, xs):
        self.calls += 1
        return [self.scale * x for x in xs]

    def batch_array(self, xs):
        return np.array(xs, np.float32)

    def batch_masked(self, xs):
        return np.ma.masked_greater(np.array(xs), 10)

    def batch_tuple(self, xs):
        return tuple(xs)

    def batch_lazy(self, xs):
        return (x for x in xs)

    def batch_short(self, xs):
        return xs[1:]

    def batch_empty(self, xs):
        return "nothing" if len(xs) == 0 else list(xs)

    def batch_who(self, xs):
        return [os.getpid()] * len(xs)

    def batch_slowly(self, xs):
        time.sleep((0.02 if worker_index() == 0 else 0.002) * len(xs))
        return [worker_index()] * len(xs)

    def count(self):
        return self.calls

    def pid(self):
        return os.getpid()

    def sees_parent(self):
        return "LEFT_BY_PARENT" in globals()

    def vector(self, length):
        return np.full(length, 0.5, np.float32)

    def fail(self, text):
        raise KeyError(text)

    def lock(self):
        return threading.Lock()

    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def end_once(self, mark):
        if not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    def wait_for(self, begun, gone):
        Path(begun).write_text(str(os.getpid()))
        while not Path(gone).exists():
            time.sleep(0.005)
        return os.getpid()

    def close(self):
        if self.marks is not None:
            Path(self.marks, f"closed-{os.getpid()}-{threading.get_ident()}").touch()


class AsyncPotential(Potential):
    """The same with async methods."""

    def __init__(self, scale=1, marks=None):
        super().__init__(scale, marks)
        self.opened = asyncio.Event()

    def spawn(self):
        return AsyncPotential(self.scale, self.marks)

    async def times(self, x, y=1):
        await asyncio.sleep(0)
        return self.scale * x * y

    async def batch_times(self, xs):
        await asyncio.sleep(0)
        self.calls += 1
        return [self.scale * x for x in xs]

    async def batch_lazy(self, xs):
        for x in xs:
            yield x

    async def wait(self):
        await self.opened.wait()
        return "through"

    async def meet(self, number):
        self.calls += 1
        if self.calls == number:
            self.opened.set()
        await self.opened.wait()
        return os.getpid()

    async def open(self):
        self.opened.set()
        return "opened"

    async def shut(self):
        self.opened.clear()
        self.calls = 0

    async def leave(self):
        sys.exit(3)


def worker_index():
    return current_worker().index


def make(scale):
    return Potential(scale)


async def make_later(scale):
    await asyncio.sleep(0)
    return Potential(scale)


def refuse():
    raise ValueError("no model here")


def hang(mark):
    Path(mark).write_text(str(os.getpid()))
    threading.Event().wait()


def begin_late(begun, gone):
    Path(begun).write_text(str(os.getpid()))
    while not Path(gone).exists():
        time.sleep(0.005)
    return Potential(2)


def refuse_once(mark):
    if Path(mark).exists():
        return Potential()
    Path(mark).touch()
    raise ValueError("not yet")


class Weights:
    """Pickles its parts once for every time it is pickled, and says so in a file."""

    def __init__(self, log, size=0):
        self.log = log
        self.data = bytes(size)

    def __getstate__(self):
        with Path(self.log).open("a") as file:
            file.write(f"{threading.current_thread().name}\n")
        return self.__dict__

    def spawn(self):
        return Weights(self.log)

    def size(self):
        return len(self.data)
