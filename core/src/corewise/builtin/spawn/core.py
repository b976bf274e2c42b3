"""The state of a pool and what everybody does with it: submit, wait, settle, end.

It is apart from the executor that users hold, so that the pool's thread keeps this alive and not that.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from corewise.builtin.spawn.blocks import BlockStore
from corewise.builtin.spawn.callables import Callables, PoolShared
from corewise.builtin.spawn.callbacks import Callbacks
from corewise.builtin.spawn.dispatch import Dispatcher
from corewise.builtin.spawn.futures import ChunkFuture, PoolFuture
from corewise.builtin.spawn.healing import Healer
from corewise.builtin.spawn.jobs import ChunkJob, Part, Prepared, Task
from corewise.builtin.spawn.process import Process
from corewise.builtin.spawn.reader import Reader
from corewise.builtin.spawn.settings import SpawnSettings
from corewise.builtin.spawn.shield import Shield, in_main_thread
from corewise.builtin.spawn.starting import Starter
from corewise.builtin.spawn.wire import Kind, pack
from corewise.errors import ClosedError
from corewise.executors.chunks import Chunk
from corewise.executors.contract import ExecutorRequest
from corewise.executors.share import Shared

__all__ = ["Core"]

_LONGEST_WAIT = 1.0
"""Seconds that the main thread waits at once: a signal that arrives right before the wait does not interrupt it."""


class Core:
    """Everything that the threads of a pool share.

    ``lock`` guards all state, the futures' included; nothing that a user wrote runs under it but the pickling of
    arguments, the hooks that make a worker's environment and finalizers, which is why it can be taken twice. What is
    to be done without it is left to ``callbacks``.

    Attributes:
        limit: How many workers may run at once.
        settings: The pool's settings.
        lock: The one lock.
        processes: The workers that run.
        store: The blocks of shared memory that the pool fills.
        callables: What workers keep.
        dispatcher: The queue.
        healer: What happens when a worker ends, or must end.
        reader: Reads what workers answer.
        starter: Starts workers.
        closing: Whether the pool takes no more work.
        callbacks: What is to be done without the lock.
    """

    def __init__(self, request: ExecutorRequest, settings: SpawnSettings) -> None:
        self._request = request
        self.settings = settings
        self.limit: int = request.workers
        self._begin()

    def _begin(self) -> None:
        self.lock: threading.RLock = threading.RLock()
        self.processes: list[Process] = []
        self.store: BlockStore = BlockStore()
        self._numbers = itertools.count(1)
        self.callables: Callables = Callables(self.store, self._numbers, self.lock)
        self.dispatcher: Dispatcher = Dispatcher(self)
        self.healer: Healer = Healer(self)
        self.reader: Reader = Reader(self)
        self.starter: Starter = Starter(self, self._request)
        self.closing: bool = False
        self.callbacks: Callbacks = Callbacks(self.lock)

    def next_number(self) -> int:
        """Return a number that no other message of this pool has."""
        return next(self._numbers)

    def submit(self, fn: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> PoolFuture:
        """Queue one call. The lock is taken only where nobody else will look at the queue."""
        self._open()
        future = PoolFuture(self)
        self.dispatcher.incoming.append(Task(future, fn, arguments, keywords))
        if self.dispatcher.hungry or self.closing:
            self._take_up(future)
        return future

    def _take_up(self, future: PoolFuture) -> None:
        with self.lock:
            if self.closing and future.withdraw():  # nobody may have seen it who ends the pool
                self._open()
            if self.dispatcher.hungry:
                self._dispatch()
        if self.callbacks.quick_wait() or (self.callbacks.users_wait() and not self.reader.started):
            self.run_after()

    def submit_chunk(self, prepared: Prepared, chunk: Chunk) -> PoolFuture:
        """Queue a chunk of a map."""
        future = ChunkFuture(self)
        with self.lock:
            self._open()
            with Shield():  # for it takes in the calls before, none of which may be lost on the way
                self.dispatcher.add(Part(ChunkJob(future, prepared, chunk), 0, len(chunk.items)))
            if self.dispatcher.hungry:
                self._dispatch()
        if self.callbacks.quick_wait():
            self.run_after()
        return future

    def _open(self) -> None:
        if self.closing:
            raise ClosedError("cannot schedule new futures after shutdown")

    def _dispatch(self) -> None:
        with Shield():
            self.dispatcher.dispatch()
        self.reader.attend(self.healer.next_look())

    def room(self, process: Process) -> int:
        """Return how many items a worker may still be sent."""
        most = self.settings.max_tasks_per_worker
        return 1 << 30 if most is None else most - process.items

    def settle(self, future: PoolFuture, result: Any, error: BaseException | None) -> None:
        """Write a result or an error; callbacks are called later, without the lock. The lock is held."""
        if future.settle(result, error):
            self.callbacks.add(future)

    def fail(self, units: list[Task | Part], error: BaseException) -> None:
        """Settle all that waits in units with an error. The lock is held."""
        for unit in units:
            self.settle(unit.future, None, error)

    def run_after(self) -> None:
        """Do what is quick, and see to it that users' callbacks are called; the lock is not held."""
        self.callbacks.run_quick()
        if self.callbacks.users_wait() and not self.reader.summon():
            self.callbacks.run_users()

    def blocks_back(self, numbers: list[int], *, lost: bool = False) -> None:
        """Take blocks back from a worker, closing those that it may still have mapped. The lock is held."""
        if lost:
            for number in numbers:
                self.store.discard(number)
        else:
            self.store.give_back(numbers)
        if self.store.forgotten:
            for process in self.processes:
                process.forget(self.store.forgotten)
            self.store.forgotten.clear()

    def wait_for(self, future: PoolFuture, until: float | None) -> None:
        """Wait until a future is over or the time has come."""
        self._let_go()
        future.waited = True
        while not future.over():
            left = None if until is None else until - monotonic()
            if left is not None and left <= 0:
                return
            if in_main_thread():
                left = _LONGEST_WAIT if left is None else min(left, _LONGEST_WAIT)
            if not self.reader.lead(left, future.over):
                self.reader.follow(future, left)

    def abandon(self, future: PoolFuture) -> None:
        """Withdraw what has not begun of a chunk that nobody waits for any more."""
        with self.lock, Shield():
            self.healer.withdraw(future)
            # Workers may have nothing to answer any more, and nobody else would look at what waits behind.
            self._dispatch()
        self.run_after()

    def share(self, obj: Any) -> Shared[Any]:
        """Return a reference to an object, which is pickled now; a plain one where there will be no more workers."""
        prepared = self.callables.prepare(obj)
        with self.lock:
            self.callables.trim(self.processes)
            if self.closing:
                self.callables.release(prepared, self.processes)
                return Shared(obj)
        return PoolShared(obj, self.callables, prepared)

    def release(self, prepared: Prepared) -> None:
        """Forget a callable; idle workers drop a large one now, not with their next task."""
        with self.lock:
            self.callables.release(prepared, self.processes)
            if prepared.users > 0 or prepared.message.block is None:
                return
            for process in self.processes:
                if not process.frames and not process.stopping:
                    with contextlib.suppress(OSError):  # it is about to be replaced
                        process.channel.send(pack(self.store, Kind.NEWS, 0, pickle.dumps(process.news(), 5)))
                        process.told()

    def busy(self) -> bool:
        """Return whether anything waits or runs."""
        return self.dispatcher.waits() or any(process.frames for process in self.processes)

    def retire(self, process: Process) -> None:
        """Ask an idle worker to leave. The lock is held."""
        process.stopping = True
        try:
            process.channel.send(pack(self.store, Kind.STOP, 0, b""))
        except BlockingIOError:  # it does not read what it has been sent
            process.kill()
        except OSError:
            pass  # it is gone, and will be seen to be

    def cancel_waiting(self) -> None:
        """Cancel what has not begun. The lock is held."""
        for future in dict.fromkeys(unit.future for unit in self.dispatcher.take_all()):
            if future.withdraw():
                self.callbacks.add(future)
            else:
                self.settle(future, None, ClosedError("the pool was shut down before this could run"))

    def shut_down(self, *, wait: bool, cancel: bool) -> None:
        """Take no more work; end the workers when what was submitted is done.

        Raises:
            RuntimeError: It was to wait, in the thread that would have to end first; the pool ends all the same.
        """
        with self.lock:
            self.closing = True
            if cancel:
                with Shield():
                    self.cancel_waiting()
            started = self.reader.started
            if not started:
                self.callables.forget_all()
        self.run_after()
        if started:
            self.reader.wake()
            if wait:
                self._join()

    def _join(self) -> None:
        if self.reader.is_thread():
            raise RuntimeError(
                "a callback of a future cannot wait for the end of its pool, whose thread it runs in: "
                "call shutdown(wait=False) there; the pool ends once what was submitted is done"
            )
        self._let_go()
        self.reader.ended.wait()

    def _let_go(self) -> None:
        """Release the lock where an interrupt has left it held by the main thread, which is about to wait.

        Without the GIL, Ctrl-C can strike between the taking of a lock and the first line of its ``with`` block. What
        users wrote, and may wait, runs under the lock only while work is dispatched; nobody else holds it and waits.
        """
        while in_main_thread() and not self.dispatcher.at_work and self.lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - no public way to ask
            self.lock.release()

    def drop(self) -> None:
        """Take no more work, because nobody holds the executor any more.

        A finalizer, and so run anywhere, any time: within the code of this pool, of another one, of a queue. It takes
        no lock, since the calling thread may hold any.
        """
        if not self.closing:
            self.closing = True
            self.reader.nudge()

    def terminate(self) -> None:
        """End the workers now; what has not finished is cancelled or fails with ``ClosedError``.

        It waits for their end, but in a callback, which runs in the thread that would see it.
        """
        with self.lock, Shield():
            self.closing = True
            self.healer.give_up(ClosedError("the pool was ended before this was done"))
            for process in self.processes:
                process.kill()
        self.shut_down(wait=not self.reader.is_thread(), cancel=True)

    def close(self) -> None:
        """Let go of everything; the last thing that the pool's thread does."""
        with self.lock:
            self.callables.forget_all()
            self.store.close()
            self.reader.close()

    def forked(self) -> None:
        """Become an empty pool in a forked child: the workers and what they run are the parent's."""
        processes, reader = self.processes, self.reader
        waiting = [process.frames.values() for process in processes]
        units = [unit for frames in waiting for frame in frames for unit in frame.units()] + self.dispatcher.take_all()
        for process in processes:
            process.close()
        self.callables.forget_all()
        self.store.close()
        reader.close()
        self._begin()
        error = ClosedError("this was submitted before os.fork(), in the parent; only there it has a result")
        for unit in units:
            unit.future.forked(error)
