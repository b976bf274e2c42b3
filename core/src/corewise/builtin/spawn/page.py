"""The page of memory in which a worker tells what it runs, and the pool what it has taken back.

A worker that dies cannot tell what it was doing; this page outlives it. Each word has one writer, so no lock is needed:
the pool writes REVOKED, the thread of the worker's event loop CALL, another thread the word that it has been given from
THREADS on, and the main thread all others. Imported by every worker: it imports little.
"""

from __future__ import annotations

from mmap import mmap

__all__ = [
    "BEGUN",
    "CALL",
    "FRAME",
    "NEVER",
    "REVOKED",
    "SINCE",
    "SIZE",
    "THREADS",
    "WAITS",
    "WAITS_SINCE",
    "call_of",
    "map_page",
    "place_of",
]

SIZE = 4096
FRAME = 0  # number of the message that runs, 0 for none
BEGUN = 1  # how many of its members have begun; 0 while the worker does not say
REVOKED = 2  # number of the message whose members that have not begun are taken back
SINCE = 3  # nanoseconds of the monotonic clock at which the message began
CALL = 4  # the call that a step of an event loop belongs to, by `call_of`; 0 for none
WAITS = 5  # number of the last message that has begun and answers later
WAITS_SINCE = 6  # nanoseconds of the monotonic clock at which all its members had begun
THREADS = 16  # here and in all words behind it: the call that a thread runs a function of; 0 for none
NEVER = (1 << 63) - 1  # a time that does not come

_MEMBERS = 20  # bits: more members than that no message has


def map_page(fd: int) -> memoryview:
    """Map a worker's page as words of 64 bits."""
    return memoryview(mmap(fd, SIZE)).cast("Q")


def call_of(frame: int, begun: int) -> int:
    """Return the number of a call: of its message, and how many members of that have begun with it."""
    return frame << _MEMBERS | max(begun, 1)


def place_of(call: int) -> tuple[int, int]:
    """Return the message of a call, and its place among the members."""
    return call >> _MEMBERS, (call & (1 << _MEMBERS) - 1) - 1
