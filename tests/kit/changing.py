"""Functions that return objects which they change in their next call."""

import asyncio
import os
import resource
import sys
import weakref

import numpy as np

LARGE = 1 << 14  # elements of an array that travels beside the pickle

COUNT = {"n": 0, "all": []}
PLAIN = [0]
SMALL = np.zeros(4)
OUTPUT = np.zeros(LARGE)
FORTRAN = np.zeros((128, LARGE // 128), order="F")
KEPT = []
KEPT_WEAKLY = []
ERROR = ValueError(-1)


def count(i):
    COUNT["n"] = i
    COUNT["all"][:] = [i]
    return COUNT


def plain(i):
    PLAIN[0] = i
    return PLAIN


def small(i):
    SMALL[:] = i
    return SMALL


def large(i):
    OUTPUT[:] = i
    return OUTPUT


def column(i):
    FORTRAN[0, 1] = i
    return FORTRAN


def view(i):
    OUTPUT[:] = i
    return OUTPUT[1:]


def in_a_tuple(i):
    OUTPUT[:] = i
    return i, OUTPUT


def kept(i):
    """Return a fresh array each time, and change the one before, which it has kept."""
    for array in KEPT:
        array[:] = -1
    KEPT[:] = [np.full(LARGE, i)]
    return KEPT[0]


def kept_weakly(i):
    for reference in KEPT_WEAKLY:
        if (array := reference()) is not None:
            array[:] = -1
    array = np.full(LARGE, i)
    KEPT_WEAKLY[:] = [weakref.ref(array)]
    return array


def error(i):
    ERROR.args = (i,)
    raise ERROR


class First:
    """Calls a function with the first of two arguments."""

    def __init__(self, fn):
        self.fn = fn

    def __call__(self, item, _):
        return self.fn(item)


def number(outcome):
    """Return the item that an outcome was made for."""
    if isinstance(outcome, dict):
        return outcome["n"] if outcome["all"] == [outcome["n"]] else outcome
    if isinstance(outcome, ValueError):
        return outcome.args[0]
    if isinstance(outcome, tuple):
        return outcome[0] if (outcome[1] == outcome[0]).all() else outcome
    if isinstance(outcome, np.ndarray) and outcome.ndim == 2:
        return int(outcome[0, 1])
    if isinstance(outcome, np.ndarray) and (outcome != outcome[0]).any():
        return outcome
    return int(outcome[0])


class Leaves:
    """Ends whoever pickles or unpickles it, by an exception that is no ``Exception``."""

    def __init__(self, at):
        self.at = at

    def __reduce__(self):
        if self.at == "pickling":
            raise SystemExit(7)
        return sys.exit, (7,)


def nested(depth):
    """Return a list that is too deep to be pickled."""
    result = []
    for _ in range(depth):
        result = [result]
    return result


def without_descriptors(make):
    """Return a result for which this process has no descriptor left."""
    file = os.dup(0)
    os.close(file)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (file, hard))
    return make()


def with_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def large_array():
    return np.ones(LARGE)


def large_text():
    return "x" * (1 << 17)


class Changing:
    """An object with async methods, as an actor."""

    def __init__(self):
        self.state = {"n": 0, "all": [0]}

    async def count(self, i):
        """Return the state, which the event loop changes as soon as this call is over."""
        self.state["n"] = i
        self.state["all"][:] = [i]
        asyncio.get_running_loop().call_soon(self.state.clear)
        self.state, state = {"n": 0, "all": [0]}, self.state
        return state

    async def leave(self, at):
        return Leaves(at)

    async def without_descriptors(self, make):
        return without_descriptors(make)

    async def with_descriptors(self):
        with_descriptors()

    async def array(self):
        return np.ones(LARGE)
