"""What waits in the pool and what is under way: single tasks, chunks of a map, and the messages that carry them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from corewise.builtin.spawn.futures import PoolFuture
from corewise.builtin.spawn.wire import Message
from corewise.executors.chunks import Chunk, ChunkOutcome

__all__ = ["ChunkJob", "Frame", "News", "Part", "Prepared", "Task"]

TRIAL = 0.1
"""Seconds of the first trial of a call that may have ended its worker; each further one takes twice as long."""
_TRIED_FROM = 2

News = tuple[list[int], list[int], list[int]]
"""What a worker is told beside its work: its blocks that are free again, the pool's that are closed, the callables that
it need not keep."""


class Prepared:
    """A callable, pickled once.

    Attributes:
        number: What workers know it by.
        message: The message that ships it, and the block with its large buffers.
        seconds: How long one item takes, by what was measured last; None before anything was.
        users: How many maps and pool entries still need it.
        needs: The shared objects that it refers to.
        crashes: How many workers ended while they loaded it.
        defers: Whether it may answer later, so that a worker takes more while it waits.
    """

    __slots__ = ("crashes", "defers", "message", "needs", "number", "seconds", "users")

    def __init__(self, number: int, message: Message, needs: tuple[Prepared, ...] = ()) -> None:
        self.number: int = number
        self.message: Message = message
        self.needs: tuple[Prepared, ...] = needs
        self.crashes: int = 0
        self.defers: bool = False
        self.seconds: float | None = None
        self.users: int = 1


class Task:
    """One call of ``submit``.

    ``prepared`` is the kept callable, None where the callable travels with its arguments; which of them is looked up
    when the task is taken into the queue.
    """

    __slots__ = ("arguments", "crashes", "fn", "future", "keywords", "prepared")

    def __init__(self, future: PoolFuture, fn: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.future: PoolFuture = future
        self.fn: Any = fn
        self.arguments: tuple[Any, ...] = arguments
        self.keywords: dict[str, Any] = keywords
        self.prepared: Prepared | None = None
        self.crashes: int = 0


class ChunkJob:
    """A chunk of a map, and what is known of its outcome.

    It travels in one message as a rule. After the death of a worker it goes on in parts, so that one item can be
    blamed and the others run again.
    """

    __slots__ = (
        "chunk",
        "crashes",
        "failures",
        "future",
        "left",
        "marked",
        "prepared",
        "results",
        "seconds",
        "sent",
        "suspicions",
        "unattributed",
    )

    def __init__(self, future: PoolFuture, prepared: Prepared, chunk: Chunk) -> None:
        self.future: PoolFuture = future
        self.prepared: Prepared = prepared
        self.chunk: Chunk = chunk
        self.left: int = len(chunk.items)
        self.results: list[Any] | None = None
        self.failures: dict[int, BaseException] = {}
        self.seconds: float = 0.0
        self.sent: int = 0  # bytes of the largest message that took items of it to a worker, where that needed a block
        self.marked: bool = False  # whether its items must note that they begin, whatever that costs
        self.crashes: dict[int, int] = {}
        self.unattributed: int = 0  # crashes of which it is not known which item caused them
        self.suspicions: int = 0  # crashes of which it is not known which of the calls that waited caused them

    def trial(self) -> float:
        """Return how many seconds a call of this must be in a worker before another one joins it; 0 for none."""
        return 0.0 if self.suspicions < _TRIED_FROM else TRIAL * 2 ** (self.suspicions - _TRIED_FROM)

    def add(
        self, start: int, stop: int, results: list[Any], failures: dict[int, BaseException] | None, seconds: float
    ) -> ChunkOutcome | None:
        """Take in what a part gave; returns the outcome once every part has answered."""
        self.left -= stop - start
        if self.left == 0 and self.results is None:
            return ChunkOutcome(results, failures, seconds)
        if self.results is None:
            self.results = [None] * len(self.chunk.items)
        self.results[start : start + len(results)] = results
        for position, error in (failures or {}).items():
            self.failures[start + position] = error
        self.seconds += seconds
        return self._outcome() if self.left == 0 else None

    def _outcome(self) -> ChunkOutcome:
        results, failures = self.results or [], self.failures
        if failures and self.chunk.stop_on_error:
            first = min(failures)
            return ChunkOutcome(results[: first + 1], {first: failures[first]}, self.seconds)
        return ChunkOutcome(results, failures or None, self.seconds)


class Part:
    """The items ``start`` to ``stop`` of a chunk, waiting for a worker."""

    __slots__ = ("job", "start", "stop")

    def __init__(self, job: ChunkJob, start: int, stop: int) -> None:
        self.job: ChunkJob = job
        self.start: int = start
        self.stop: int = stop

    @property
    def future(self) -> PoolFuture:
        """The future of the whole chunk."""
        return self.job.future

    def around(self, position: int) -> tuple[list[Part], list[Part], list[Part]]:
        """Return what is before an item, the item, and what is behind it; nothing where there is nothing."""
        ends = (self.start, position, position + 1, self.stop)
        before, item, behind = ([Part(self.job, start, stop)] if stop > start else [] for start, stop in pairwise(ends))
        return before, item, behind

    def singly(self) -> list[Task | Part]:
        """Return each item as a part of its own."""
        return [Part(self.job, position, position + 1) for position in range(self.start, self.stop)]


class Frame:
    """A message that a worker has been sent and has not answered.

    Attributes:
        number: Its number.
        tasks: The tasks in it; None for a part of a chunk.
        part: The part in it; None for tasks.
        block: Number of the block that its large parts stand in, 0 for none.
        sent: When it was sent, by the monotonic clock.
        expected: How many seconds it should take; None where nothing is known.
        marked: Whether the worker notes which of its items begins.
        limit: Seconds that its one item may take, None for no limit.
        answered: How many tasks have been answered already, and are not in it any more.
        needed: Numbers of all that the worker must keep to run it.
        news: What it told the worker beside its work.
        looked: When it was last seen to what waits in it, or when it was sent.
        revoked: When the tasks that had not begun were called back; None where they were not.
        trial: For how many seconds after it has begun the end of its worker is laid to it, though others wait there.
    """

    __slots__ = (
        "answered",
        "block",
        "expected",
        "limit",
        "looked",
        "marked",
        "needed",
        "news",
        "number",
        "part",
        "revoked",
        "sent",
        "tasks",
        "trial",
    )

    def __init__(self, number: int, tasks: list[Task] | None, part: Part | None) -> None:
        self.number: int = number
        self.tasks: list[Task] | None = tasks
        self.part: Part | None = part
        self.block: int = 0
        self.sent: float = 0.0
        self.expected: float | None = None
        self.marked: bool = True
        self.limit: float | None = None if part is None else part.job.chunk.item_timeout
        self.answered: int = 0
        self.needed: tuple[int, ...] = ()
        self.news: News | None = None
        self.looked: float = 0.0
        self.revoked: float | None = None
        self.trial: float = 0.0 if part is None else part.job.trial()

    def __len__(self) -> int:
        if self.tasks is not None:
            return len(self.tasks)
        return self.part.stop - self.part.start if self.part is not None else 0

    def defers(self) -> bool:
        """Whether its answer may come after those of later messages."""
        return self.part is not None and self.part.job.prepared.defers

    def units(self) -> list[Task | Part]:
        """Return what is in it, as it waits in the queue."""
        return [*self.tasks] if self.tasks is not None else [self.part] if self.part is not None else []
