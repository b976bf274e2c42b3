"""The futures of the pool: real ``concurrent.futures.Future`` objects that cost a fraction of the usual."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from time import monotonic
from typing import TYPE_CHECKING, Any

from corewise.builtin.spawn.gate import Gate
from corewise.builtin.spawn.shield import in_main_thread

if TYPE_CHECKING:
    from corewise.builtin.spawn.core import Core

__all__ = ["ChunkFuture", "PoolFuture"]

_OVER = frozenset({CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED})
_logger = logging.getLogger("concurrent.futures")


class PoolFuture(Future[Any]):
    """A future without a condition, and whose waiter reads the workers' answers itself.

    Making a condition for each future takes longer than running a small task does. ``result`` lets the calling thread
    do what the pool's thread would do, which saves waking a second thread; only ``wait`` and ``as_completed`` need
    something to hold, and it is made for those futures that they are given. The pool's lock guards everything in it;
    single attributes are read without.

    Attributes:
        quick: Whether its callbacks neither block nor run what a user wrote, so that any thread may call them.
        waited: Whether a thread has ever waited for it.
    """

    quick = False
    waited = False
    _gate: Gate | None = None
    _sleepers: tuple[threading.Lock, ...] = ()

    def __init__(self, core: Core) -> None:  # what the base does, but for the condition
        self._core = core
        self._state = PENDING
        self._result = None
        self._exception = None
        self._waiters = []
        self._done_callbacks: list[Any] = []

    @property  # the base writes it, and is not asked to
    def _condition(self) -> Any:  # type: ignore[override]
        if self._gate is None:
            with self._core.lock:
                if self._gate is None:
                    self._gate = Gate(self._core)
        return self._gate

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else self._state.lower()
        if self._state == FINISHED and self._exception is not None:
            state += f" raised {type(self._exception).__name__}"
        elif self._state == FINISHED:
            state += f" returned {type(self._result).__name__}"
        return f"<{type(self).__name__} at {id(self):#x} state={state}>"

    def result(self, timeout: float | None = None) -> Any:
        """Return the result, as ``concurrent.futures.Future.result``."""
        if self._state != FINISHED:
            self._await(timeout)
        if self._exception is None:
            return self._result
        try:
            raise self._exception
        finally:
            del self  # the traceback must not keep the future alive: bpo-36820

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception, as ``concurrent.futures.Future.exception``."""
        self._await(timeout)
        return self._exception

    def _await(self, timeout: float | None) -> None:
        if self._state not in _OVER:
            if self._gate is not None and self._gate.owned():
                self._gate.release()  # an interrupt has left it held: nobody who looks at a future waits for it
            self._core.wait_for(self, None if timeout is None else monotonic() + timeout)
        if self._state == FINISHED:
            return
        if self._state in _OVER:
            raise CancelledError
        raise TimeoutError

    def over(self) -> bool:
        """Return whether it has a result, an exception, or was cancelled."""
        return self._state in _OVER

    def done(self) -> bool:
        """Return whether it is over, as ``concurrent.futures.Future.done``."""
        return self._state in _OVER

    def running(self) -> bool:
        """Return whether it can no longer be cancelled and is not over."""
        return self._state == RUNNING

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self._state in {CANCELLED, CANCELLED_AND_NOTIFIED}

    def cancel(self) -> bool:
        """Cancel what has not begun, as ``concurrent.futures.Future.cancel``; callbacks are called here."""
        with self._core.lock:
            if self._state != PENDING:
                return self.cancelled()
            self.withdraw()
        self.call_back()
        return True

    def withdraw(self) -> bool:
        """Declare it to be cancelled where it has not begun; callbacks are not called. The pool's lock is held."""
        if self._state != PENDING:
            return False
        self._state = CANCELLED
        self._notify_cancel()
        self._wake()
        if self.waited:
            self._core.reader.ring()
        return True

    def _notify_cancel(self) -> None:
        if self._gate is None:
            self._state = CANCELLED_AND_NOTIFIED
        else:
            self._gate.perform(self._tell_cancel)

    def _tell_cancel(self) -> None:
        self._state = CANCELLED_AND_NOTIFIED
        for waiter in self._waiters:
            waiter.add_cancelled(self)

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call ``fn`` with the future once it is over, as ``concurrent.futures.Future.add_done_callback``."""
        with self._core.lock:
            if self._state not in _OVER:
                self._done_callbacks.append(fn)
                return
        self._call(fn)

    def set_running_or_notify_cancel(self) -> bool:
        """Declare it to be running; False where it was cancelled."""
        with self._core.lock:
            if self._state not in {PENDING, CANCELLED, CANCELLED_AND_NOTIFIED}:
                raise RuntimeError(f"Future in unexpected state: {self._state}")
            return self.begin()

    def set_result(self, result: Any) -> None:
        """Give it a result, as ``concurrent.futures.Future.set_result``."""
        self._set(result, None)

    def set_exception(self, exception: BaseException | None) -> None:
        """Give it an exception, as ``concurrent.futures.Future.set_exception``."""
        self._set(None, exception)

    def _set(self, result: Any, error: BaseException | None) -> None:
        with self._core.lock:
            if self._state in _OVER:
                raise InvalidStateError(f"{self._state}: {self!r}")
            self._core.settle(self, result, error)
        self._core.run_after()

    def begin(self) -> bool:
        """Declare it to be running; False where it was cancelled or is over. The pool's lock is held."""
        if self._state == PENDING:
            self._state = RUNNING
        return self._state == RUNNING

    def settle(self, result: Any, error: BaseException | None) -> bool:
        """Write result or error; returns whether callbacks are to be called. The pool's lock is held."""
        if self._state in _OVER:
            return False
        if self._gate is not None:
            self._gate.perform(lambda: self._settle_watched(result, error))
            return False
        if error is None:
            self._result = result
        else:
            self._exception = error
        self._state = FINISHED
        if self._sleepers:
            self._wake()
        return bool(self._done_callbacks)

    def _settle_watched(self, result: Any, error: BaseException | None) -> None:
        if self._state in _OVER:
            return
        self._result, self._exception = result, error
        self._state = FINISHED
        for waiter in self._waiters:
            if error is None:
                waiter.add_result(self)
            else:
                waiter.add_exception(self)
        self._wake()
        if self._done_callbacks:
            self._core.callbacks.add(self)

    def forked(self, error: BaseException) -> None:
        """Fail it in a forked child, where nobody looks at it: other threads did, and they are not there."""
        self._gate = None
        self.settle(None, error)

    def call_back(self) -> None:
        """Call the callbacks; the pool's lock is not held."""
        for fn in self._done_callbacks:
            self._call(fn)

    def _call(self, fn: Callable[[Future[Any]], object]) -> None:
        try:
            fn(self)
        except Exception:
            _logger.exception("exception calling callback for %r", self)
        except BaseException:
            if in_main_thread():
                raise
            _logger.exception("exception calling callback for %r", self)

    def wait_passively(self, seconds: float | None) -> None:
        """Wait until another thread settles it."""
        sleeper = threading.Lock()
        sleeper.acquire()
        with self._core.lock:
            if self._state in _OVER:
                return
            self._sleepers = (*self._sleepers, sleeper)
        try:
            sleeper.acquire(timeout=-1 if seconds is None else max(0.0, seconds))
        finally:
            with self._core.lock:
                self._sleepers = tuple(other for other in self._sleepers if other is not sleeper)

    def _wake(self) -> None:
        """Wake those that follow; at once nobody follows, so that the pool's thread need not go on."""
        self._core.reader.leave(self)
        for sleeper in self._sleepers:
            sleeper.release()


class ChunkFuture(PoolFuture):
    """The future of a chunk; who waits for it is the map engine or a pool of actors, whose callbacks are quick."""

    quick = True
