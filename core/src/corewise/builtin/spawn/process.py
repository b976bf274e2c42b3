"""The pool's record of one worker process."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what signal wraps in enums, at a tenth of the cost
import os
from collections import OrderedDict, deque
from contextlib import suppress
from time import monotonic
from typing import Any

from corewise.builtin.spawn import page
from corewise.builtin.spawn.jobs import Frame, News
from corewise.builtin.spawn.launch import Launched
from corewise.builtin.spawn.wire import Channel

__all__ = ["Process"]

_LAST_LINES = 80  # of a crash in C code, Python 3.14 shows the C stack below its own


class Process:
    """One worker process. The pool's lock guards all of it but the receiving side of its channel.

    Attributes:
        frames: The messages that it has not answered, by number, oldest first; only ``enter`` and ``leave`` change it.
        timed: How many of these have a limit or a trial, so that nobody looks through hundreds for nothing.
        deferring: How many of these answer later.
        lent: Numbers of the pool's blocks that it has been sent and has not given back.
        full: Whether its socket took no more the last time, and has not been seen to have room since.
    """

    def __init__(self, index: int, name: str, launched: Launched) -> None:
        self.index = index
        self.name = name
        self.pid: int = launched.pid
        self.pidfd: int = launched.pidfd
        self.words: memoryview[int] = launched.words
        self.channel: Channel = Channel(launched.near)
        self.far: Channel = Channel(launched.far)
        self.far.known = self.channel.known
        self.stderr: int = launched.stderr
        self.lifeline: int = launched.lifeline
        self.bell: int = launched.bell
        self.frames: OrderedDict[int, Frame] = OrderedDict()
        self.timed: int = 0
        self.deferring: int = 0
        self.lent: set[int] = set()
        self.kept: OrderedDict[int, None] = OrderedDict()
        self.forgotten: list[int] = []
        self.dropped: list[int] = []
        self._telling: News | None = None
        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.partial: bytes = b""
        self.items = 0
        self.answered = False
        self.ready: float = 0.0  # when it answered for the first time
        self.stopping = False
        self.full = False
        self.exitcode: int | None = None
        self.refusal: BaseException | None = None
        self.timed_out: Frame | None = None
        self.last_used: float = monotonic()

    def enter(self, frame: Frame) -> None:
        """Note that it has been sent a message."""
        self.frames[frame.number] = frame
        self._count(frame, 1)

    def leave(self, number: int) -> Frame | None:
        """Note that it has a message no more, and return that; None where it had none of this number."""
        frame = self.frames.pop(number, None)
        if frame is not None:
            self._count(frame, -1)
        return frame

    def _count(self, frame: Frame, change: int) -> None:
        if frame.limit is not None or frame.trial:
            self.timed += change
        if frame.defers():
            self.deferring += change

    def running(self) -> tuple[Frame | None, int, float]:
        """Return the frame that runs, how many of its unanswered members have begun, and since when it runs."""
        frame = self.frames.get(self.words[page.FRAME])
        if frame is None:
            return None, 0, 0.0
        return frame, self.words[page.BEGUN] - frame.answered, self.words[page.SINCE] / 1e9

    def active(self) -> list[tuple[Frame | None, int]]:
        """Return what runs: each frame, None for one that is answered, and the place of the member in it."""
        frame, begun, _ = self.running()
        main = set() if frame is None else {(frame.number, max(begun, 1) - 1)}
        calls = {page.place_of(call) for call in (self.words[page.CALL], *self.words[page.THREADS :]) if call}
        return [(self.frames.get(number), place) for number, place in main | calls]

    def waits(self, frame: Frame) -> bool:
        """Whether all of a frame has begun, and its answer comes later."""
        return frame.defers() and frame.number <= self.words[page.WAITS]

    def trial(self, frame: Frame, now: float) -> float:
        """Return how many seconds of a frame's trial are left."""
        if frame.trial == 0 or frame.number < self.words[page.WAITS]:
            return 0.0
        since = self.words[page.WAITS_SINCE] / 1e9 if frame.number == self.words[page.WAITS] else now
        return max(0.0, since + frame.trial - now)

    def news(self) -> News | None:
        """Return what the worker should know with its next message, None where there is nothing.

        These are its blocks that are free again, the pool's blocks that are closed, and the callables that it need
        not keep.
        """
        freed = self.channel.attachments.freed
        if self.dropped:  # what it was not told in time, it may have been sent again
            self.dropped = [number for number in self.dropped if number not in self.kept]
        if not freed and not self.forgotten and not self.dropped:
            return None
        self._telling = self.channel.attachments.take_freed(), self.forgotten, self.dropped
        self.forgotten, self.dropped = [], []
        return self._telling

    def told(self) -> News | None:
        """Note that the message with the news has left; returns them."""
        telling, self._telling = self._telling, None
        return telling

    def keep_news(self) -> None:
        """Note that it has not."""
        self.untold(self.told())

    def untold(self, news: News | None) -> None:
        """Note that the worker will not read these news: they go with its next message."""
        if news is not None:
            freed, forgotten, dropped = news
            self.channel.attachments.freed[:0] = freed
            self.forgotten[:0] = forgotten
            self.dropped[:0] = dropped

    def forget(self, numbers: list[int]) -> None:
        """Note that the pool has closed blocks."""
        known = self.channel.known
        self.forgotten.extend(number for number in numbers if number in known)
        known.difference_update(numbers)

    def head_changed(self) -> None:
        """Note that its next message, if it has one, begins now."""
        for frame in self.frames.values():
            frame.looked = monotonic()
            return

    def ring(self) -> None:
        """Have it send what its tasks have given so far."""
        os.eventfd_write(self.bell, 1)

    def kill(self) -> None:
        """End it at once; what it was running is dealt with when it is seen to be gone."""
        with suppress(ProcessLookupError):
            _signal.pidfd_send_signal(self.pidfd, _signal.SIGKILL)

    def reap(self) -> None:
        """Learn how it ended."""
        if self.exitcode is not None:
            return
        try:
            info: Any = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        except ChildProcessError:  # the program reaps every child itself
            self.exitcode = 0
            return
        killed = info.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        self.exitcode = -info.si_status if killed else info.si_status

    def memory(self) -> int:
        """Return the bytes of memory that it has resident."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - read after every answer
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def read_stderr(self) -> list[str] | None:
        """Return the lines that have arrived on its standard error; None once it is closed and all was returned."""
        try:
            data = os.read(self.stderr, 1 << 16)
        except OSError:
            return []
        if not data and not self.partial:
            return None
        *lines, self.partial = (self.partial + data).split(b"\n")
        if not data or len(self.partial) > 1 << 16:
            lines.append(self.partial)
            self.partial = b""
        decoded = [line.decode(errors="replace").rstrip("\r") for line in lines]
        self.lines.extend(decoded)
        return decoded

    def close(self) -> None:
        """Close every descriptor, once: their numbers may soon be others'."""
        if self.pidfd < 0:
            return
        self.channel.sock.close()
        self.far.sock.close()
        for fd in (self.pidfd, self.stderr, self.lifeline, self.bell):
            os.close(fd)
        self.pidfd = self.stderr = self.lifeline = self.bell = -1
        self.words.release()  # the mapping has a descriptor, too
