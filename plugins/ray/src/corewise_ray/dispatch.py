"""Keeps at most as many tasks on Ray as there are workers, and brings their answers back."""

from __future__ import annotations

import atexit
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import ray

from corewise_ray import cluster, withdrawal

__all__ = ["Dispatcher", "Job"]

LOOK_SECONDS = 1.0
"""How often the thread looks whether Ray is still there while it waits for an answer: its shutdown tells nobody."""


class Job:
    """One task, from its submission to its answer.

    Attributes:
        future: What its caller waits for.
        mark: What its worker looks for to know that it was withdrawn.
        send: Sends it to Ray for the worker of a given index, and returns the reference of the answer.
        settle: Settles the future by Ray's answer, or returns True for the task to be sent again.
        slot: Index of its worker while it is on Ray.
        reference: Of its answer, while it is on Ray.
        withdrawn: Whether nobody waits for it any more.
    """

    __slots__ = ("__weakref__", "future", "mark", "reference", "send", "settle", "slot", "withdrawn")

    def __init__(
        self, future: Future[Any], mark: bytes, send: Callable[[int], Any], settle: Callable[[Future[Any]], bool]
    ) -> None:
        self.future = future
        self.mark = mark
        self.send = send
        self.settle = settle
        self.slot = 0
        self.reference: Any = None
        self.withdrawn = False


_Answered = tuple[Job, "Future[Any]"]


class Dispatcher:
    """The tasks of one executor.

    ``_lock`` guards everything that changes but ``_answers``; ``_handled`` tells of each step of a job. A job waits
    only while every slot is taken, and a slot is taken only by a job that Ray has or is being given.
    """

    def __init__(self, workers: int, ended: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._handled = threading.Condition(self._lock)
        self._slots = list(reversed(range(workers)))
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()
        self._closed = False
        self._ended = ended
        self._session = cluster.session()
        self._answers: SimpleQueue[_Answered | _Wake | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"corewise-ray-{next(_numbers)}", daemon=True)
        self._thread.start()
        _open.add(self)

    def submit(self, job: Job) -> None:
        """Send the job, now or when a slot is free.

        Raises:
            RuntimeError: After ``close``.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._waiting.append(job)
        self._dispatch()

    def withdraw(self, job: Job) -> None:
        """Stop caring for a job; the worker of one that is on Ray is asked to stop it."""
        if job.future.cancel():
            return
        with self._lock:
            job.withdrawn = True
            running = job in self._running
        if running and ray.is_initialized():
            withdrawal.ask(job.mark)

    def close(self, *, cancel: bool = False) -> None:
        """Take no more jobs; the thread ends with the last one that was taken."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting) if cancel else []
        for job in waiting:
            job.future.cancel()
        if cluster.session() != self._session:
            self._abandon()
        self._dispatch()
        self._end_if_done()

    def kill(self, error: BaseException) -> list[bytes]:
        """Take no more jobs, and fail those that were taken; at exit nobody waits for what runs.

        Returns:
            The marks of the jobs that are on Ray.
        """
        _open.discard(self)
        with self._lock:
            self._closed = True
            running, waiting = [*self._running], [*self._waiting]
            self._waiting.clear()
            for job in running:
                job.withdrawn = True
        for job in (*running, *waiting):
            _fail(job.future, error)
        self._end_if_done()
        return [job.mark for job in running]

    def join(self, seconds: float | None = None) -> None:
        """Wait until the thread has ended, at most so many seconds; None for ever."""
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def wait_on_ray(self, seconds: float | None, ready: Callable[[], object]) -> None:
        """Wait for an answer within Ray, which lends the CPUs of a task that waits in its main thread to others.

        Args:
            seconds: How long at most, None for ever.
            ready: Whether there is nothing to wait for.
        """
        deadline = None if seconds is None else monotonic() + seconds
        with self._handled:
            if ready():
                return
            jobs = {job.reference: job for job in self._running if job.reference is not None}
            if not jobs:
                # A job is on its way to Ray, or its answer on the way to its future.
                self._handled.wait(seconds)
                return
        done, _ = ray.wait(list(jobs), num_returns=1, timeout=seconds)
        if done:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            with self._handled:
                self._handled.wait_for(lambda: ready() or jobs[done[0]].reference != done[0], left)

    def _dispatch(self) -> None:
        while (job := self._next()) is not None:
            try:
                reference = job.send(job.slot)
                reference.future().add_done_callback(partial(self._answered, job))
            except BaseException as error:  # noqa: BLE001 - whatever keeps it from leaving is its outcome
                self._release(job)
                _fail(job.future, error if cluster.session() == self._session else _gone())
                continue
            with self._handled:
                if job in self._running:
                    job.reference = reference
                self._handled.notify_all()

    def _next(self) -> Job | None:
        """Take the next job that was not cancelled, if there is a slot for it."""
        with self._lock:
            while self._waiting and self._slots:
                job = self._waiting.popleft()
                if job.future.running() or job.future.set_running_or_notify_cancel():
                    job.slot = self._slots.pop()
                    self._running.add(job)
                    if len(self._running) == 1:
                        self._answers.put(_Wake())
                    return job
        return None

    def _answered(self, job: Job, answer: Future[Any]) -> None:
        self._answers.put((job, answer))

    def _release(self, job: Job) -> None:
        with self._handled:
            if job in self._running:
                self._running.discard(job)
                self._slots.append(job.slot)
            job.reference = None
            self._handled.notify_all()

    def _serve(self) -> None:
        while (answered := self._next_answer()) is not None:
            if not isinstance(answered, _Wake):
                self._handle(*answered)
            # Its results would live until the next answer comes.
            del answered
            self._end_if_done()
        _open.discard(self)
        self._ended()

    def _next_answer(self) -> _Answered | _Wake | None:
        """Wait for an answer, or for the end. While none is due the thread sleeps until it is woken."""
        while True:
            with suppress(Empty):
                return self._answers.get(timeout=LOOK_SECONDS if self._running else None)
            if cluster.session() != self._session:
                self._abandon()
                self._end_if_done()

    def _handle(self, job: Job, answer: Future[Any]) -> None:
        self._release(job)
        # The next job leaves before this answer is read.
        self._dispatch()
        self._settle(job, answer)
        with self._handled:
            self._handled.notify_all()

    def _settle(self, job: Job, answer: Future[Any]) -> None:
        if job.withdrawn:
            withdrawal.forget(job.mark)
            _fail(job.future, CancelledError())
        if job.future.done():
            return
        try:
            again = job.settle(answer)
        except InvalidStateError:  # somebody ended the executor just now
            return
        except BaseException as error:  # noqa: BLE001 - an answer that cannot be read is the job's outcome
            _fail(job.future, error)
            return
        if again:
            with self._lock:
                self._waiting.appendleft(job)
            self._dispatch()

    def _end_if_done(self) -> None:
        with self._lock:
            if self._closed and not self._waiting and not self._running:
                self._answers.put(None)

    def _abandon(self) -> None:
        """Fail what was on a Ray that somebody has shut down: no answer will come."""
        with self._lock:
            lost = [*self._running, *self._waiting]
            self._running.clear()
            self._waiting.clear()
        for job in lost:
            _fail(job.future, _gone())


class _Wake:
    """Tells the thread that an answer is due from now on."""


def _fail(future: Future[Any], error: BaseException) -> None:
    with suppress(InvalidStateError):  # it has an outcome
        future.set_exception(error)


def _gone() -> BrokenExecutor:
    return BrokenExecutor("executor 'ray': Ray was shut down while it was in use; make a new executor")


_numbers = itertools.count()
_open: weakref.WeakSet[Dispatcher] = weakref.WeakSet()


@atexit.register
def _finish() -> None:
    """Finish what was submitted before the interpreter, and Ray with it, goes: Ray has registered before us."""
    for dispatcher in list(_open):
        dispatcher.close()
    for dispatcher in list(_open):
        dispatcher.join()
