"""Who reads what the workers answer: the pool's own thread, or a thread that waits for a result.

Reading in the waiting thread saves waking a second one, which takes as long as the rest of the round trip. So a thread
in ``Future.result`` leads: it polls, settles what has arrived, and stops as soon as its own future is over. The pool's
thread then stands back; it comes back by itself when work is under way and nobody leads, and is called where callbacks
of users' futures are to be called: these may take long, and whoever leads waits for a future of its own.

The main thread does not lead in a program that handles other signals than SIGINT: what a handler raises would have to
wait until the answer that is being read is settled.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from corewise.builtin.spawn.answers import Answers
from corewise.builtin.spawn.bell import Bell
from corewise.builtin.spawn.forking import unforked
from corewise.builtin.spawn.futures import PoolFuture
from corewise.builtin.spawn.process import Process
from corewise.builtin.spawn.shield import Shield, handles_signals, in_main_thread

if TYPE_CHECKING:
    from corewise.builtin.spawn.core import Core

__all__ = ["Reader"]

_logger = logging.getLogger("corewise.spawn")

_STAND_BACK = 0.002
"""Seconds for which the pool's thread trusts that a thread which led will lead again."""
_FOREVER = float("inf")
_PATIENCE = 50
"""How often it looks again, with nothing under way, before it waits to be called."""


class Reader:
    """Polls the workers' descriptors.

    ``_polling`` is held by the one thread that polls and receives. The pool's lock guards ``started``, ``_asleep``,
    ``_until`` (when whoever polls looks again) and ``_sources``; ``_led``, ``_followers`` and ``_main_follows`` are
    hints, written by whoever leads or follows. ``_wanted`` is set by the pool's thread before it tries to take
    ``_polling``, and looked at by others after they have released that.

    Attributes:
        started: Whether the pool's thread runs.
        ended: Set when it has ended, and with it the pool.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._answers = Answers(core)
        self._poll: select.epoll
        self._sources: dict[int, Callable[[], object]] = {}
        self._polling = threading.Lock()
        self._bell = Bell()
        self._wanted = False
        self._thread: threading.Thread | None = None
        self._asleep = False
        self._until = 0.0
        self._led = False
        self._main_follows = False
        self._followers: set[PoolFuture] = set()
        self.started: bool = False
        self.ended: threading.Event = threading.Event()

    def _start(self) -> None:
        """Open what a pool that is never used need not have."""
        poll = select.epoll()
        try:
            wake = self._bell.open()
            poll.register(wake, select.EPOLLIN)
            self._poll = poll
            self._thread = threading.Thread(target=_run, args=(self,), name="corewise-spawn", daemon=True)
            self._thread.start()
        except BaseException:
            self._thread = None
            self._bell.close()
            poll.close()
            raise
        self._sources[wake] = self._bell.interrupted
        self.started = True

    def is_thread(self) -> bool:
        """Whether the calling thread is the pool's."""
        return self._thread is not None and threading.get_ident() == self._thread.ident

    def watch(self, process: Process) -> None:
        """Poll the descriptors of a new worker, and start the pool's thread with the first. The lock is held."""
        if not self.started:
            self._start()
        sources = {
            process.channel.sock.fileno(): lambda: self._receive(process),
            process.pidfd: lambda: self._gone(process),
            process.stderr: lambda: self._answers.stderr(process),
        }
        try:
            for fd, source in sources.items():
                self._poll.register(fd, select.EPOLLIN)
                self._sources[fd] = source
        except BaseException:
            for fd in sources:
                self.unwatch(fd)
            raise

    def watch_room(self, process: Process) -> None:
        """Look again at the queue once a worker's socket has room. The lock is held."""
        with suppress(OSError):  # its socket is closed, and its end will be seen
            self._poll.modify(process.channel.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
            self._sources[process.channel.sock.fileno()] = lambda: self._has_room(process)

    def _has_room(self, process: Process) -> None:
        """Take in what a worker says, and let it have more work: what waits is handed out after every poll."""
        fd = process.channel.sock.fileno()
        with self._core.lock:
            process.full = False
            self._sources[fd] = lambda: self._receive(process)
            self._poll.modify(fd, select.EPOLLIN)
        self._receive(process)

    def unwatch(self, fd: int) -> None:
        """Poll a descriptor no more. The lock is held."""
        if self._sources.pop(fd, None) is not None:
            with suppress(OSError):
                self._poll.unregister(fd)

    def _receive(self, process: Process) -> bool:
        """Take in one message. A worker whose message cannot be taken in is ended, which loses nothing."""
        try:
            return self._answers.receive(process)
        except BaseException:  # loading an answer runs users' code; handlers of signals are put off meanwhile
            _logger.exception("%s: its message could not be read; it is replaced", process.name)
            with self._core.lock:
                process.stopping = True
            process.kill()
            return False

    def _gone(self, process: Process) -> None:
        """Read the last words of a worker that has ended, then deal with what it was running."""
        while self._receive(process):
            pass
        while self._answers.stderr(process):
            pass
        with self._core.lock:
            for fd in (process.channel.sock.fileno(), process.pidfd, process.stderr):
                self.unwatch(fd)
            with unforked:
                self._core.healer.gone(process)
                process.close()

    def attend(self, due: float | None = None) -> None:
        """Make sure that somebody reads the answer to what was just sent. The lock is held.

        Args:
            due: In how many seconds whoever polls has to look, None for no hurry.
        """
        if self._asleep:
            self._asleep = False
            self._bell.call()
        elif due is not None and monotonic() + due < self._until:
            self._until = 0.0
            self._bell.interrupt()

    def wake(self) -> None:
        """Make whoever polls look again, and the pool's thread."""
        with self._core.lock:
            self.attend()
        self.nudge()

    def nudge(self) -> None:
        """Make whoever polls look again, and the pool's thread; takes no lock."""
        self._bell.call()
        self._bell.interrupt()

    def ring(self) -> None:
        """Interrupt whoever polls; takes no lock."""
        self._bell.interrupt()

    def summon(self) -> bool:
        """Have the pool's thread call users' callbacks; False where it does not run."""
        if not self.started or self.ended.is_set():
            return False
        if not self.is_thread():
            self.nudge()
        return True

    def lead(self, seconds: float | None, ready: Callable[[], object], *, called_back: bool = False) -> bool:
        """Poll once in the calling thread, unless what it waits for is ready.

        Args:
            seconds: How long to wait, None for ever.
            ready: Whether there is nothing to wait for.
            called_back: Whether it is a callback that makes it so.

        Returns:
            False where another thread polls, or has polled and is about to call back: it will not take long. Also
            in a main thread that is not to lead.
        """
        if self._main_follows and in_main_thread():
            if handles_signals():
                return False
            self._main_follows = False
        self._led = True
        if not self._polling.acquire(blocking=False):
            return False
        try:
            # Only now is it certain that nobody else settles anything.
            if ready():
                return True
            if called_back and self._core.callbacks.quick_elsewhere():
                return False
            self._pump(seconds, ready)
        finally:
            self._polling.release()
            if self._followers or self._wanted or self._core.callbacks.users_wait():
                self._bell.call()
            self._core.callbacks.run_quick()
        return True

    def follow(self, future: PoolFuture, seconds: float | None) -> None:
        """Wait while another thread reads."""
        self._followers.add(future)
        try:
            future.wait_passively(seconds)
        finally:
            self._followers.discard(future)

    def leave(self, future: PoolFuture) -> None:
        """Note that nobody need wait for a future any more."""
        self._followers.discard(future)

    def _pump(self, seconds: float | None, ready: Callable[[], object] | None = None) -> None:
        """Poll once and deal with what has come; the calling thread leads where it says when it is ``ready``."""
        core = self._core
        with core.lock:
            if ready is not None and ready():  # a future that is cancelled from now on rings
                return
            due = core.healer.next_look()
            waits = [wait for wait in (seconds, due) if wait is not None]
            self._until = monotonic() + min(waits) if waits else _FOREVER
        events = self._poll.poll(min(waits) if waits else None)
        with Shield() as shield:
            if shield.others and ready is not None:
                self._main_follows = True
                return
            for fd, _ in events:
                source = self._sources.get(fd)
                if source is not None:
                    source()
            with core.lock:
                core.healer.look()
                core.dispatcher.dispatch()

    def serve(self) -> bool:
        """Poll once in the pool's thread, and call what is to be called; False when the pool has ended."""
        core = self._core
        if not self._polling.acquire(blocking=False):
            if not self._led or self._followers:
                self._await_turn()
        else:
            try:
                if core.closing and self._finished():
                    return False
                if not core.callbacks.users_wait():
                    self._pump(None)
            finally:
                self._polling.release()
        core.callbacks.run_quick()
        core.callbacks.run_users()
        if self._led and not self._followers:
            self._stand_back()
        return True

    def _await_turn(self) -> None:
        """Wait until whoever leads ends, or has callbacks for this thread."""
        self._wanted = True
        if self._polling.acquire(blocking=False):
            self._polling.release()
        else:
            self._bell.listen()
        self._wanted = False

    def _finished(self) -> bool:
        """Once the pool is closing and nothing is left to run, let the workers leave."""
        core = self._core
        with core.lock:
            if not core.closing or core.busy():
                return False
            for process in core.processes:
                if not process.stopping:
                    core.retire(process)
            return not core.processes

    def _stand_back(self) -> None:
        """Leave polling to threads that wait for results, as long as there are any."""
        quiet = 0
        while not self._bell.listen(_STAND_BACK):
            if self._led:
                self._led = False
                quiet = 0
                continue
            with self._core.lock:
                if self._core.busy() or self._core.closing or self._core.healer.next_look() is not None:
                    return
                quiet += 1
                if quiet >= _PATIENCE:
                    if self._core.healer.next_look() is not None:
                        return
                    self._asleep = True
            if self._asleep:
                self._bell.listen()
                self._asleep = False
                return

    def close(self) -> None:
        """Close the descriptors. Their numbers are forgotten: they may soon be others'."""
        self._sources.clear()
        if self.started:
            self._poll.close()
        self._bell.close()


def _served(reader: Reader) -> bool:
    """Serve once; an error that nobody foresaw fails what waits rather than leave it waiting for ever."""
    try:
        return reader.serve()
    except BaseException as error:
        _logger.exception("the pool failed; so does everything that it was to run")
        core = reader._core  # noqa: SLF001 - the same
        with core.lock:
            core.healer.give_up(error)
        return True


def _run(reader: Reader) -> None:
    core = reader._core  # noqa: SLF001 - this is the reader's own thread
    while _served(reader):
        pass
    core.close()
    core.callbacks.run_quick()
    core.callbacks.run_users()
    reader.ended.set()
    core.callbacks.run_users()  # what was settled before it was known that this thread calls nobody any more
