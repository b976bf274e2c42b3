"""The main of a worker process.

It imports as little as it can: what an idle worker does not need it does not load. `signal`, which builds enums of its
constants, and `threading` would take a good part of its start. Everything runs in the main thread, one message after
the other; other threads of the worker only ever send log records.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # typeshed does not list it
import _socket
import os
import sys
from _pickle import dumps, loads
from _thread import allocate_lock, start_new_thread
from time import monotonic_ns, perf_counter

from corewise.builtin.spawn import kept, packing, page, wire
from corewise.builtin.spawn.blocks import BlockStore
from corewise.builtin.spawn.running import Calls, Items, watch_calls
from corewise.executors.chunks import ChunkOutcome, run_chunk
from corewise.executors.frozen import freeze, freeze_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Lock
    from typing import Any, NoReturn

__all__ = ["BELL", "LIFELINE", "PAGE", "SOCKET", "main"]

SOCKET, LIFELINE, PAGE, BELL = 3, 4, 5, 6  # the descriptors that a worker is born with, beside the standard ones


class Server:
    """What a worker does with each kind of message.

    All of it belongs to the main thread, but for the answers: ``lock`` guards ``calls``, the store of blocks and what
    the channel knows of them, because the thread that waits for the pool's bell answers too.
    """

    def __init__(self, channel: wire.Channel, words: memoryview) -> None:
        self.channel = channel
        self.words = words
        self.store: BlockStore = BlockStore()
        self.kept: dict[int, Any] = kept.objects
        self.pid: int = os.getpid()
        self.waiting: list[Any] = []  # what the message that runs has not begun yet
        self.start: bytes | None = None
        self.stop: bytes | None = None
        self.lock: Lock = allocate_lock()
        self.calls: Calls | None = None
        self.listening: bool = False
        self.handlers: dict[int, Callable[[wire.Received], None]] = {
            wire.Kind.BEGIN: self.begin,
            wire.Kind.KEEP: self.keep,
            wire.Kind.CHUNK: self.chunk,
            wire.Kind.TASKS: self.tasks,
            wire.Kind.NEWS: lambda received: self.learn(self.body(received)),
            wire.Kind.STOP: self.end,
        }

    def serve(self) -> NoReturn:
        """Handle messages until the pool is gone."""
        while True:
            received = self.channel.receive()
            if received is None:
                os._exit(0)
            self.handlers[received.kind](received)

    def begin(self, received: wire.Received) -> None:
        """Become the worker that the pool describes."""
        from corewise.builtin.spawn import prepare

        self.start, self.stop = prepare.become(self.body(received), self.channel)

    def body(self, received: wire.Received) -> Any:
        """Load the body, and return the block that held it where it held nothing else."""
        body = loads(received.body, buffers=received.buffers)
        if received.block:
            received.body.release()
            self.channel.attachments.freed.append(received.block)
        return body

    def keep(self, received: wire.Received) -> None:
        """Keep a callable for the messages that name it; one that cannot be loaded fails each of their items."""
        self.note(received.number)
        self.kept.pop(received.number, None)
        try:
            self.kept[received.number] = self.body(received)
        except kept.Absent:  # what it refers to was taken back, and it goes back with the messages that name it
            pass
        except BaseException as error:  # noqa: BLE001 - loading runs the callable's own code
            self.kept[received.number] = kept.Broken(error)
        self.words[page.FRAME] = 0

    def chunk(self, received: wire.Received) -> None:
        """Run one callable on every item."""
        news, needed, marked, star, stop_on_error, packed = self.body(received)
        self.learn(news)
        if not self.started() or not self.has(received.number, needed):
            return
        self.note(received.number)
        plain = isinstance(packed, bytes)
        load = None if plain else packing.unpacker(received.buffers)
        self.waiting = loads(packed) if plain else packed
        items = Items(self.waiting, self.words if marked else None, load)
        fn = self.kept[needed[0]]
        defers = getattr(fn, "defers", False)
        freezing: Callable[[int, Any], Any] = freeze
        if defers:
            freezing = watch_calls(self.words)
        outcome = run_chunk(fn, items, star=star, stop_on_error=stop_on_error, freeze=freezing)  # type: ignore[arg-type]
        del items, load, packed
        self.waiting = []
        received.buffers = []
        if defers:
            self.answer_later(received.number, *outcome)
        else:
            self.answer(received.number, *outcome)

    def has(self, number: int, needed: tuple[int, ...]) -> bool:
        """Whether all that a message needs is here; where it is not, give the message back.

        The pool may have taken it back just before this worker read the message. It sends all of it again, so that
        both sides agree on what is here.
        """
        if all(key in self.kept for key in needed):
            return True
        for key in needed:
            self.kept.pop(key, None)
        self.answer(number, [], None, 0.0)
        return False

    def answer_later(
        self, number: int, results: list[Any], failures: dict[int, BaseException] | None, seconds: float
    ) -> None:
        """Answer when the last deferred result has come, in whatever thread that is."""
        from corewise.executors.deferred import settled

        self.end_child(len(results), failures or {})

        def then(outcome: ChunkOutcome) -> None:
            # What this raises in a future's callback would be logged, and the pool would wait for ever.
            try:
                with self.lock:
                    self.send(number, outcome.results, outcome.failures, outcome.seconds)
            except BaseException:  # noqa: BLE001 - nothing can be said any more, so the pool has to see an end
                sys.excepthook(*sys.exc_info())
                os._exit(1)

        settled(ChunkOutcome(results, failures, seconds), then)
        self.words[page.WAITS_SINCE] = monotonic_ns()
        self.words[page.WAITS] = number
        self.words[page.FRAME] = 0

    def tasks(self, received: wire.Received) -> None:
        """Run calls, each of its own callable and arguments, as long as the pool does not take them back."""
        news, needed, tasks = self.body(received)
        self.learn(news)
        if not self.started() or not self.has(received.number, needed):
            return
        self.note(received.number)
        if len(tasks) > 1 and not self.listening:
            self.listening = True
            import threading  # noqa: F401 - before Python 3.13 the thread that imports it is the main one to it

            start_new_thread(self.listen, ())
        calls = Calls(self.kept, self.words, received)
        self.calls, self.waiting = calls, tasks
        begin = perf_counter()
        calls.run(tasks, received.buffers)
        seconds = perf_counter() - begin
        del tasks
        self.waiting = []
        received.buffers = []
        with self.lock:
            self.calls = None
            self.send(received.number, *calls.take(), seconds)
        self.words[page.FRAME] = 0

    def listen(self) -> None:
        """Send what tasks have given so far whenever the pool rings: one that takes long must not hold it up."""
        while True:
            os.read(BELL, 8)
            with self.lock:
                calls = self.calls
                if calls is not None:
                    self.send(calls.number, *calls.take(), None)

    def note(self, number: int) -> None:
        """Write to the page that a message runs."""
        self.words[page.BEGUN] = 0
        self.words[page.SINCE] = monotonic_ns()
        self.words[page.FRAME] = number

    def learn(self, news: tuple[list[int], list[int], list[int]] | None) -> None:
        """Take in what the pool says of blocks and callables that it needs no more."""
        if news is not None:
            given_back, forgotten, dropped = news
            with self.lock:
                self.store.give_back(given_back)
            self.channel.attachments.forget(forgotten)
            for key in dropped:
                self.kept.pop(key, None)

    def answer(
        self, number: int, results: list[Any], failures: dict[int, BaseException] | None, seconds: float
    ) -> None:
        """Send what running a message gave; only then it does not run any more."""
        with self.lock:
            self.send(number, results, failures, seconds)
        self.words[page.FRAME] = 0

    def send(
        self, number: int, results: list[Any], failures: dict[int, BaseException] | None, seconds: float | None
    ) -> None:
        """Send results; one that cannot be pickled becomes a failure of its item.

        ``seconds`` is how long all of them took, None where more will come. The lock is held.
        """
        lost: dict[int, BaseException] = failures or {}
        buffers: list[Any] = []

        def failed(position: int, error: BaseException) -> None:
            lost[position] = error

        self.end_child(len(results), lost)
        packed, count = packing.pack_all(results, buffers, failed), len(results)
        results.clear()
        news = self.news()
        body = _body(news, seconds, packed, lost)
        try:
            message = wire.pack(self.store, wire.Kind.DONE, number, body, buffers)
        except (OSError, MemoryError) as error:  # there is no block for what is large: only that is lost
            packed, large = packing.pack_small(packed, count, wire.INLINE // 2)
            lost.update(dict.fromkeys(large, freeze_error(error)))
            message = wire.pack(self.store, wire.Kind.DONE, number, _body(news, seconds, packed, lost))
        lost.clear()
        self.channel.send(message)

    def forked(self) -> None:
        """In a child that a task has forked: leave what has not begun to the worker, and nothing to wait for."""
        self.channel.sock.close()
        self.waiting.clear()
        self.lock = allocate_lock()  # the other one may be held by a thread that is not here

    def end_child(self, count: int, failures: dict[int, BaseException]) -> None:
        """End this process where it is a child that a task has forked: the last of these, from which it came back."""
        if os.getpid() != self.pid:
            from corewise.executors.forked import end_child

            end_child(failures.get(count - 1))

    def news(self) -> tuple[list[int], list[int]] | None:
        """Return the pool's blocks that are free again, and the own ones that are closed; None where there are none."""
        freed, forgotten = self.channel.attachments.take_freed(), self.store.forgotten[:]
        self.store.forgotten.clear()
        return (freed, forgotten) if freed or forgotten else None

    def started(self) -> bool:
        """Run the start hook before the first task; where it raises, tell the pool and leave."""
        if self.start is None:
            return True
        start, self.start = self.start, None
        try:
            hook, argument = loads(start)
            hook(argument)
        except BaseException as error:  # noqa: BLE001 - whatever it is, this worker cannot start
            from corewise.executors import transfer

            self.channel.send(wire.pack(self.store, wire.Kind.REFUSED, 0, transfer.pack_exception(error)))
            os._exit(1)
        return True

    def end(self, _: wire.Received) -> None:
        """Leave in good order."""
        try:
            if self.stop is not None and self.start is None:
                hook, argument = loads(self.stop)
                hook(argument)
        except BaseException:  # noqa: BLE001 - a worker that ends has nobody to fail for; standard error is read
            sys.excepthook(*sys.exc_info())
        leave()


def _body(
    news: tuple[list[int], list[int]] | None, seconds: float | None, packed: Any, lost: dict[int, BaseException]
) -> bytes:
    """Pickle an answer."""
    errors: dict[int, bytes] | None = None
    if lost:
        from corewise.executors import transfer

        errors = {place: transfer.pack_exception(error) for place, error in lost.items()}
    return dumps((news, seconds, packed, errors), 5)


def leave(code: int = 0) -> NoReturn:
    """End the process: exit functions run, standard streams are flushed, other threads are not waited for."""
    import atexit

    atexit._run_exitfuncs()  # noqa: SLF001 - os._exit does not, and threads must not hold up the end
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            continue
    os._exit(code)


def main() -> NoReturn:
    """Serve the pool that started this process."""
    os.closerange(BELL + 1, 1 << 20)
    for fd in (SOCKET, LIFELINE, PAGE, BELL):
        os.set_inheritable(fd, False)
    channel = wire.Channel(_socket.socket(fileno=SOCKET))
    # The pool decides what Ctrl-C means. A handler that does nothing is reset in programs that a task starts.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    hang_on_lifeline()
    server = Server(channel, page.map_page(PAGE))
    os.register_at_fork(after_in_child=server.forked)
    server.serve()


def hang_on_lifeline() -> None:
    """Die with the pool, whatever runs: the kernel sends SIGIO when the last writer of the lifeline is gone."""
    import fcntl

    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(LIFELINE, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(LIFELINE, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    try:
        if os.read(LIFELINE, 1) == b"":
            os._exit(0)
    except BlockingIOError:
        pass
