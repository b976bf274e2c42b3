"""One batch on its way: calling, finding the bad items, answering the callers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import types
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any

from corewise.aio.calls import Mark, inside, outer_marks, settle
from corewise.aio.queues import Reply, Request
from corewise.aio.results import check, collect, deliverable, fail
from corewise.aio.stats import BatchReport
from corewise.errors import BatchResultError, ClosedError

if TYPE_CHECKING:
    from corewise.aio.lane import Lane

__all__ = ["Batch"]


@types.coroutine
def _next_turn() -> Generator[None, None, None]:
    yield


class Batch:
    """The requests of one call of the batch function; touched in its event loop's thread only, but for ``alive``.

    Args:
        lane: Where the requests come from.
    """

    task: asyncio.Task[None] | None = None
    _thread: concurrent.futures.Future[Any] | None = None
    _watched: Reply | None = None  # one who waits, and whose leaving will be noticed
    _place = 0  # of the watched one
    _items: Sequence[Any] = ()
    _replies: Sequence[Reply] = ()
    _context: Context | None = None
    _moving = False
    _mark: Mark | None = None
    _outer: tuple[Mark, ...] = ()  # of the batches that its requests come from
    _cancelled = False
    _calls = 0
    _failed = 0
    _arrived = 0.0
    _started = 0.0

    def __init__(self, lane: Lane) -> None:
        self.lane = lane

    def start(self, context: Context | None, *, loaded: bool = False) -> None:
        """Take what waits when this turn of the event loop is over, and send it, in the context of the first caller.

        The coroutine is begun before its task is: a task that is cancelled before its first step would never enter
        the ``try`` that gives the slot back.

        Args:
            context: Whose it is most likely to be; the batch moves to another one if need be.
            loaded: Whether it has moved, and taken its requests before.
        """
        self._context = context
        coroutine = self._run(loaded=loaded)
        coroutine.send(None)
        self.task = self.lane.loop.create_task(coroutine, context=context)

    def alive(self) -> bool:
        """Say whether the batch still needs its slot. Any thread may call."""
        return self.lane.loop.is_running() or (self._thread is not None and not self._thread.done())

    def cancel(self) -> None:
        """Stop the call, for nobody waits for its answer any more."""
        self._cancelled = True
        if self.task is not None:
            self.task.cancel()

    def _stopped(self) -> bool:
        task = self.task
        return self._cancelled or (task is not None and task.cancelling() > 0)

    def abandon(self) -> None:
        """Fail those who wait, for the event loop has ended or stands still."""
        name = self.lane.shared.calls.name
        self._fail(self._replies, ClosedError(f"the event loop of this call of {name} has ended"), quietly=True)

    async def _run(self, *, loaded: bool) -> None:
        calls = self.lane.shared.calls
        try:
            await _next_turn()
            if self.task is None:  # an eager task factory takes the first step at once, in the middle of the turn
                await _next_turn()
            if loaded or self._load():
                self._mark = [calls.token]
                inside.set((*self._outer, self._mark))
                try:
                    results = collect(await self._call(self._items))
                except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - its callers get it
                    await self._recover(self._items, self._replies, error)
                else:
                    self._deliver(self._replies, results)
        except BaseException as error:
            if self._end_badly(error):
                raise
        finally:
            if self._moving:  # it goes on in another task
                self._moving = False
            else:
                self._finish()

    def _end_badly(self, error: BaseException) -> bool:
        """Answer the callers of a batch that was stopped; say whether the event loop has to hear of it, too."""
        name = self.lane.shared.calls.name
        if not isinstance(error, asyncio.CancelledError):  # results that raise while they are looked at, interrupts
            self._fail(self._replies, deliverable(error, name))
            return not isinstance(error, Exception)
        closed = ClosedError(f"{name} was cancelled while it ran")
        closed.__cause__ = error.__cause__
        self._fail(self._replies, closed, quietly=True)
        return True

    def _load(self) -> bool:
        requests = self.lane.take()
        if not requests:
            return False
        self._started = monotonic()
        self._arrived = requests[0][3]
        items: list[Any] = []
        replies: list[Reply] = []
        for item, reply, _, _ in requests:
            if not reply.done():  # else the caller has left
                items.append(item)
                replies.append(reply)
        self._items, self._replies = items, replies
        if self.lane.nested:
            self._outer = outer_marks(requests)
        self._watch()
        return bool(replies) and (self.lane.simple or not self._move(requests))

    def _move(self, requests: Sequence[Request]) -> bool:
        """Go on in the context of the first caller who is still there; say whether it is not this one.

        Which line of a keyed queue a batch takes, and who has left, is known only when it takes its requests.
        """
        context = next(context for _, reply, context, _ in requests if reply is self._replies[0])
        if context is self._context:
            return False
        self._moving = True
        self.task = None
        self.start(context, loaded=True)
        return True

    def _call(self, items: Sequence[Any]) -> Awaitable[Any]:
        self._calls += 1
        calls = self.lane.shared.calls
        if not calls.blocking:
            return calls.on_loop(items)
        self._thread = calls.in_thread(items)
        return settle(self._thread)

    async def _recover(self, items: Sequence[Any], replies: Sequence[Reply], error: BaseException) -> None:
        """Answer the callers whose call raised, after calls with parts of it where that is allowed."""
        if self._stopped():  # whatever the function made of its cancellation
            raise asyncio.CancelledError from error
        if len(items) == 1 or self.lane.shared.options.on_error == "fail":
            self._fail(replies, deliverable(error, self.lane.shared.calls.name))
        else:
            await self._bisect(items, replies)

    async def _bisect(self, items: Sequence[Any], replies: Sequence[Reply]) -> None:
        """Send both halves of what failed as a whole.

        Where the first half went well the second one must hold the bad item, so it is halved without a call: this
        keeps the calls within 2·log2(n) + 1 for one bad item among n.
        """
        middle = len(items) // 2
        went_well = await self._send_living(items[:middle], replies[:middle])
        if went_well and len(items) - middle > 1:
            await self._bisect(items[middle:], replies[middle:])
        else:
            await self._send_living(items[middle:], replies[middle:])

    async def _send_living(self, items: Sequence[Any], replies: Sequence[Reply]) -> bool:
        """Send those whose callers are still there; say whether they were some and the call did not raise."""
        living = [place for place, reply in enumerate(replies) if not reply.done()]
        if not living:
            return False
        if self._stopped():  # and the function ended well all the same
            raise asyncio.CancelledError
        items, replies = [items[place] for place in living], [replies[place] for place in living]
        self._watch()
        try:
            results = collect(await self._call(items))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - its callers get it
            await self._recover(items, replies, error)
            return False
        self._deliver(replies, results)
        return True

    def _deliver(self, replies: Sequence[Reply], results: Any) -> None:
        name = self.lane.shared.calls.name
        self._unwatch()
        if type(results) is not list or len(results) != len(replies):
            try:
                results = check(results, len(replies), name)
            except BatchResultError as error:
                self._fail(replies, error)
                return
        for reply, result in zip(replies, results, strict=True):
            try:
                if isinstance(result, BaseException):
                    reply.set_exception(deliverable(result, name))
                    self._failed += 1
                else:
                    reply.set_result(result)
            except asyncio.InvalidStateError:  # its caller has left; asking each one first would cost more
                continue

    def _fail(self, replies: Sequence[Reply], error: BaseException, *, quietly: bool = False) -> None:
        self._unwatch()
        self._failed += fail(replies, error, quietly=quietly)

    def _watch(self) -> None:
        """Have the first unanswered caller's leaving noticed; a callback on each would double the cost of a request."""
        if self._watched is not None:
            return
        replies = self._replies
        while self._place < len(replies):
            reply = replies[self._place]
            if not reply.done():
                self._watched = reply
                reply.add_done_callback(self._left)
                return
            self._place += 1

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if isinstance(watched, asyncio.Future):
            watched.remove_done_callback(self._left)

    def _left(self, reply: Reply) -> None:
        if reply is not self._watched:
            return
        self._watched = None
        self._watch()
        if self._watched is None:
            self.cancel()

    def _finish(self) -> None:
        lane = self.lane
        shared = lane.shared
        size = len(self._items)
        if self._watched is not None:
            self._unwatch()
        self._items = self._replies = ()
        if size:
            shared.recorder.record(size, self._calls, self._failed, self._started - self._arrived)
        if (thread := self._thread) is None or thread.done():
            if self._mark is not None:
                self._mark.clear()
            shared.gate.leave(self)
        else:  # the function still runs, for no thread can be stopped
            thread.add_done_callback(self._leave_later)
        lane.finished(self)
        if shared.options.on_batch is not None and size:
            self._report(shared.options.on_batch, size)

    def _leave_later(self, _: concurrent.futures.Future[Any]) -> None:
        if self._mark is not None:
            self._mark.clear()
        self.lane.shared.gate.leave(self, elsewhere=True)

    def _report(self, on_batch: Callable[[BatchReport], None], size: int) -> None:
        report = BatchReport(
            name=self.lane.shared.calls.name,
            size=size,
            calls=self._calls,
            failed=self._failed,
            waited=self._started - self._arrived,
            duration=monotonic() - self._started,
        )
        try:
            on_batch(report)
        except Exception as error:  # noqa: BLE001 - a broken observer must not take the answers along
            message = f"on_batch of {report.name} raised"
            self.lane.loop.call_exception_handler({"message": message, "exception": error})
