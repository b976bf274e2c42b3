"""Counting the threads of a Rayon pool from outside: Linux shows a process its threads and where their stacks are."""

from __future__ import annotations

import contextlib
import re
import threading
from bisect import bisect_right
from pathlib import Path

__all__ = ["unnamed_rust_threads"]

_PROCESS = Path("/proc/self")
_STACK = 2 * 1024 * 1024
"""Size of the stack of a thread that Rust starts: https://doc.rust-lang.org/std/thread/#stack-size."""


def unnamed_rust_threads() -> int:
    """Return how many threads Rust code has started here and given no name, as Rayon does with its global pool.

    They wait with a stack of Rust's own default size, which no other library in common use has; a thread that is
    running at this moment is not counted, because Linux does not say where its stack is.
    """
    python = {str(thread.native_id) for thread in threading.enumerate()}
    try:
        main = (_PROCESS / "comm").read_text()
        starts, ends = _mappings()
        tasks = [task for task in (_PROCESS / "task").iterdir() if task.name not in python]
    except OSError:
        return 0
    count = 0
    for task in tasks:
        with contextlib.suppress(OSError):  # the thread has ended, or may not be looked at
            pointer = _stack_pointer((task / "syscall").read_text())
            place = bisect_right(starts, pointer) - 1
            if place >= 0 and ends[place] - starts[place] == _STACK and (task / "comm").read_text() == main:
                count += 1
    return count


def _mappings() -> tuple[list[int], list[int]]:
    ranges = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) ", (_PROCESS / "maps").read_text(), re.MULTILINE)
    return [int(start, 16) for start, _ in ranges], [int(end, 16) for _, end in ranges]


def _stack_pointer(syscall: str) -> int:
    """Return the stack pointer of a waiting thread from its file ``syscall`` (proc_pid_syscall(5)); 0 if it runs."""
    fields = syscall.split()
    return int(fields[-2], 16) if len(fields) > 2 else 0
