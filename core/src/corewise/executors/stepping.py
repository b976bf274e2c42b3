"""An event loop that says whose code it runs, so that a worker which dies in it can be asked what it was doing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, TypeVarTuple

from corewise.executors.deferred import Witness
from corewise.executors.forked import end_child

__all__ = ["SteppingLoop"]

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")
_CALL: ContextVar[int] = ContextVar("_CALL", default=0)
"""The number of the call that code belongs to, that of the tasks and callbacks which it makes included."""


class SteppingLoop(asyncio.SelectorEventLoop):
    """Tells a witness which call each step of a task, each callback and each function in a thread belongs to.

    Nothing in it is shared: ``call_soon`` and ``call_at`` are for the thread that runs the loop, ``context_of_call``
    for the one that makes calls.
    Threads that a call starts by itself, and callbacks of descriptors, are not told of. A child that a step forks
    ends with that step, since it shares descriptors with this loop, and has none of the other threads.

    Args:
        witness: Is told before and after each step.

    Attributes:
        steps: How many steps have begun that belong to calls.
    """

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self._witness = witness
        self._pid = os.getpid()
        self.steps: int = 0

    def context_of_call(self) -> Context:
        """Return the context for the task of the call that is being made."""
        context = copy_context()
        context.run(_CALL.set, self._witness.call())
        return context

    def call_soon(
        self, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in the next turn; tasks make each of their steps by this."""
        context = copy_context() if context is None else context
        call = context.get(_CALL, 0)
        if call:
            return super().call_soon(self._step, call, callback, args, context=context)
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time."""
        context = copy_context() if context is None else context
        call = context.get(_CALL, 0)
        if call:
            return super().call_at(when, self._step, call, callback, args, context=context)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """Run a function in a thread."""
        call = _CALL.get()
        if call and (executor is None or isinstance(executor, ThreadPoolExecutor)):
            return super().run_in_executor(executor, self._beside, call, func, args)
        return super().run_in_executor(executor, func, *args)

    def _beside(self, call: int, func: Callable[[*Arguments], Result], args: tuple[*Arguments]) -> Result:
        try:
            result: Result = self._witness.run_beside(call, func, args)
        except BaseException as error:
            self._end_child(error)
            raise
        self._end_child(None)
        return result

    def _step(self, call: int, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.steps += 1
        self._witness.runs(call)
        try:
            callback(*args)
        except BaseException as error:
            self._end_child(error)
            self._witness.runs(0)
            raise
        self._end_child(None)
        self._witness.runs(0)

    def _end_child(self, error: BaseException | None) -> None:
        """End this process where it is a child that has been forked since, and has come back."""
        if os.getpid() != self._pid:
            end_child(error)
