"""The event loop of an object with async methods, in its worker. Imported only where there is such an object."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from asyncio import AbstractEventLoop, Semaphore, Task
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from time import perf_counter
from typing import TYPE_CHECKING, Any

from corewise.executors.deferred import Answer, witness

if TYPE_CHECKING:
    from corewise.executors.stepping import SteppingLoop

__all__ = ["Loop"]

_Outcome = tuple[Any, "BaseException | None"]
"""The result of a call, or else what it raised."""


class Loop:
    """An event loop in a thread of its own; at most ``most`` calls run in it at once.

    Calls that come while the thread is busy begin together: waking it for each, as
    ``asyncio.run_coroutine_threadsafe`` does, would cost as much as a short call. ``_lock`` guards ``_arrived``; the
    rest of what changes belongs to the loop's thread, but ``_abandoned``, which is set once.

    Attributes:
        watched: Whether somebody wants to know what it runs, as the main thread of a worker process does.
    """

    def __init__(self, most: int) -> None:
        self._stepping = _stepping_loop()
        self.watched: bool = self._stepping is not None
        self._loop: AbstractEventLoop = self._stepping or asyncio.new_event_loop()
        self._room: Semaphore = asyncio.Semaphore(most)
        self._lock = threading.Lock()
        self._arrived: list[tuple[Coroutine[Any, Any, _Outcome], Answer, Context | None]] = []
        self._tasks: dict[Task[_Outcome], Answer] = {}
        self._abandoned = False
        self._thread = threading.Thread(target=self._serve, name="corewise-actor-loop", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                continue  # asyncio raises those of a call's own tasks here, too, when it has given them to the call
            break
        if self._abandoned:
            self._loop.close()

    def run(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Answer:
        """Run a coroutine function; return its concurrent future."""
        answer = Answer()
        context = None if self._stepping is None else self._stepping.context_of_call()
        with self._lock:
            self._arrived.append((self._limited(function, arguments, answer), answer, context))
            first = len(self._arrived) == 1
        if first:
            self._loop.call_soon_threadsafe(self._begin)
        return answer

    def _begin(self) -> None:
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for coroutine, answer, context in arrived:
            task = self._loop.create_task(coroutine, context=context)
            self._tasks[task] = answer
            task.add_done_callback(self._settle, context=context)

    async def _limited(
        self, function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], answer: Answer
    ) -> _Outcome:
        try:
            async with self._room:
                begin, step = perf_counter(), self._step()
                result = await function(*arguments)
                if step is not None and step == self._step():
                    answer.seconds = perf_counter() - begin
                return result, None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a call that raises SystemExit must not end the loop for others
            return None, error

    def _step(self) -> int | None:
        """Return the number of the step that runs, None where nobody counts them."""
        return None if self._stepping is None else self._stepping.steps

    def _settle(self, task: Task[_Outcome]) -> None:
        answer = self._tasks.pop(task)
        if task.cancelled():
            answer.cancel()
            return
        result, error = task.result()
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    async def end(self, last: Callable[[], Any]) -> None:
        """Wait for the calls that are under way, make the last one, and cancel the tasks that they left behind."""
        this = asyncio.current_task()
        try:
            while others := self._tasks.keys() - {this}:
                await asyncio.wait(others)
            result = last()
            if inspect.isawaitable(result):
                await result
        finally:
            await self._cancel_all()

    def stop(self) -> None:
        """Cancel what runs and end the thread."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def abandon(self) -> None:
        """Cancel what runs and end the thread, without waiting for that."""
        self._abandoned = True
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._loop.create_task(self._cancel_all()).add_done_callback(lambda _: self._loop.stop())

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


def _stepping_loop() -> SteppingLoop | None:
    """Return a loop that says what it runs, where somebody wants to know."""
    by = witness()
    if by is None:
        return None
    from corewise.executors.stepping import SteppingLoop

    return SteppingLoop(by)
