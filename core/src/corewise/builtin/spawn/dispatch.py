"""Which worker gets what, and when: the queue of the pool, and how it is laid out in messages.

A worker that runs short tasks has one message in advance, so that it never waits for the pool; one that runs long tasks
has none, so that nothing waits behind them. What was sent in advance and has not begun can be taken back.
"""

from __future__ import annotations

import pickle
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from corewise.builtin.spawn import packing, wire
from corewise.builtin.spawn.callables import Collecting, drop_oldest
from corewise.builtin.spawn.jobs import Frame, Part, Prepared, Task
from corewise.builtin.spawn.process import Process
from corewise.errors import ClosedError

if TYPE_CHECKING:
    from corewise.builtin.spawn.core import Core

__all__ = ["Dispatcher"]

SHORT = 0.005
"""Seconds: what runs longer lets nothing wait behind it."""
TARGET = 0.002
"""Seconds that the tasks of one message should take."""
WORTH = 1e-4
"""Seconds: about what a message costs both sides; tasks that take no longer together are not sent apart, or ahead."""
MOST_TASKS = 512
MOST_DEFERRED = 256
"""Messages that a worker may have at once whose answers come later."""
GROWTH = 8
CHEAP = 2e-6
"""Seconds: below that, noting that an item begins would cost more than a twentieth of running it."""
_ATOMS = frozenset({int, float, str, bytes, bool, complex, type(None)})


class Dispatcher:
    """Gives work to workers. The pool's lock guards all of it but ``incoming``, and is held by every caller.

    ``incoming`` is appended to without the lock, then ``hungry`` is read; here ``hungry`` is set first, and then
    ``incoming`` looked at once more. So a new call is seen by the one or by the other, without the threads that submit
    and the one that reads ever waiting for each other.

    Attributes:
        incoming: Calls that have just been submitted, oldest first.
        queue: What waits, oldest first.
        hungry: Whether the last look at the queue found nothing in it, so that new work can leave at once.
        at_work: Whether it hands out, and so may run what users wrote, as the pickling of arguments.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.incoming: deque[Task] = deque()
        self.queue: deque[Task | Part] = deque()
        self.hungry: bool = True
        self.at_work: bool = False
        self._seconds: float | None = None
        self._size = 1

    def dispatch(self) -> None:
        """Hand out what there are workers for, and let go of what nobody refers to any more."""
        outer, self.at_work = self.at_work, True
        try:
            if self._core.callables.overdue():
                self._core.callables.trim(self._core.processes)
            self._hand_out()
            while self.hungry and self.incoming:
                self._hand_out()
        finally:
            self.at_work = outer

    def _hand_out(self) -> None:
        self._take_in()
        while self.queue:
            process = self._free() or self._core.starter.start_one() or self._busy()
            if process is None:
                break
            self._feed(process)
        self.hungry = not self.queue

    def _take_in(self) -> None:
        """Let incoming calls wait in the queue. Signal handlers are put off: one that raised would lose a call."""
        incoming, known = self.incoming, self._core.callables.known
        while incoming:
            task = incoming.popleft()
            try:
                task.prepared = known(task.fn)
            except BaseException as error:  # noqa: BLE001 - a metaclass may raise anything: only this call needs it
                self._core.fail([task], error)
            else:
                self.queue.append(task)

    def add(self, part: Part) -> None:
        """Let a chunk wait, behind all that came before."""
        self._take_in()
        self.queue.append(part)

    def waits(self) -> bool:
        """Return whether anything waits."""
        return bool(self.queue or self.incoming)

    def take_all(self) -> list[Task | Part]:
        """Return all that waits, which does so no more; takes no lock, which a forked child may find held."""
        units = [*self.queue]
        self.queue.clear()
        while self.incoming:
            units.append(self.incoming.popleft())
        return units

    def _free(self) -> Process | None:
        for process in self._core.processes:
            if not process.frames and not process.stopping and not process.full and self._core.room(process) > 0:
                return process
        return None

    def _busy(self) -> Process | None:
        """Return a worker that takes more than it has; None also where nothing waits since none could be started."""
        return (self._waiting() or self._ahead()) if self.queue else None

    def _waiting(self) -> Process | None:
        """Return the worker with the fewest calls where all of them may be waiting for something, as the next may."""
        unit = self.queue[0]
        if not isinstance(unit, Part) or not unit.job.prepared.defers:
            return None
        now = monotonic()
        able = [
            process
            for process in self._core.processes
            if not process.stopping
            and not process.full
            and self._core.room(process) > 0
            and len(process.frames) < MOST_DEFERRED
            and process.deferring == len(process.frames)
            and not (process.timed and any(process.trial(frame, now) for frame in process.frames.values()))
        ]
        return min(able, key=lambda process: len(process.frames), default=None)

    def _ahead(self) -> Process | None:
        """Return a worker that will have finished its one message soon."""
        if isinstance(self.queue[0], Task) and len(self.queue) < self._worth():
            return None
        now = monotonic()
        for process in self._core.processes:
            if len(process.frames) != 1 or process.stopping or process.full or self._core.room(process) < 1:
                continue
            (frame,) = process.frames.values()
            if frame.expected is not None and frame.expected < SHORT and now - frame.sent < SHORT:
                return process
        return None

    def _feed(self, process: Process) -> None:
        """Send a worker the next message."""
        unit = self.queue[0]
        room = self._core.room(process)
        frame = self._part(room) if isinstance(unit, Part) else self._tasks(room)
        if frame is not None:  # else everything that was looked at had been cancelled
            self.send(process, frame)

    def _part(self, room: int) -> Frame | None:
        part = self.queue.popleft()
        if not isinstance(part, Part) or not part.job.future.begin():
            return None
        if part.job.prepared.users < 1:
            self._core.fail([part], ClosedError("the map that this chunk belongs to has ended"))
            return None
        if part.stop - part.start > room:
            self.queue.appendleft(Part(part.job, part.start + room, part.stop))
            part = Part(part.job, part.start, part.start + room)
        frame = Frame(self._core.next_number(), None, part)
        seconds = part.job.prepared.seconds
        if seconds is not None:
            frame.expected = None if frame.trial else seconds * len(frame)
            frame.marked = part.job.marked or seconds > CHEAP or frame.defers()
        return frame

    def _tasks(self, room: int) -> Frame | None:
        most = min(room, self._size, max(self._worth(), len(self.queue) // (2 * self._core.limit)))
        tasks: list[Task] = []
        queue = self.queue
        while queue and len(tasks) < most:
            task = queue[0]
            if not isinstance(task, Task) or (task.crashes and tasks):
                break
            queue.popleft()
            if task.future.begin():
                tasks.append(task)
            if task.crashes:
                break
        if not tasks:
            return None
        frame = Frame(self._core.next_number(), tasks, None)
        if self._seconds is not None and not tasks[0].crashes:
            frame.expected = self._seconds * len(tasks)
        return frame

    def _worth(self) -> int:
        """Return how many tasks are worth a message, at least 1."""
        return 1 if self._seconds is None else max(1, min(int(WORTH / max(self._seconds, 1e-7)), MOST_TASKS))

    def measured(self, tasks: int, seconds: float) -> None:
        """Learn how long tasks take."""
        if tasks:
            sample = seconds / tasks
            self._seconds = sample if self._seconds is None else 0.7 * self._seconds + 0.3 * sample
            wanted = int(TARGET / max(self._seconds, 1e-7))
            self._size = max(1, min(wanted, max(self._size, tasks) * GROWTH, MOST_TASKS))

    def send(self, process: Process, frame: Frame) -> None:
        """Pickle and send; what cannot be sent now waits at the head of the queue again."""
        try:
            with Collecting(self._core.callables) as needed:
                message = self._message(process, frame, needed)
        except BaseException as error:  # noqa: BLE001 - no memory, a SystemExit: whatever it is, only this frame needs it
            process.keep_news()
            self._core.fail(frame.units(), error)
            return
        if message is None:
            process.keep_news()
            return
        try:
            for prepared in needed:
                self._core.callables.ensure(process, prepared)
            process.channel.send(message)
        except OSError as error:
            self._unsent(process, frame, message, error)
            return
        frame.news = process.told()
        frame.sent = frame.looked = process.last_used = monotonic()
        if message.block is not None and not message.given_away():
            frame.block = message.block.number
            process.lent.add(frame.block)
        process.enter(frame)
        process.items += len(frame)
        drop_oldest(process)

    def _unsent(self, process: Process, frame: Frame, message: wire.Message, error: OSError) -> None:
        """Take back what a failed sending had taken."""
        process.keep_news()
        if message.given_away() and message.block is not None:
            message.block.close()
        elif message.block is not None:
            self._core.blocks_back([message.block.number])
        if not isinstance(error, BlockingIOError | ConnectionError):
            self._core.fail(frame.units(), error)
            return
        if isinstance(error, ConnectionError):
            process.stopping = True  # it is gone, and will be seen to be
        else:
            process.full = True  # also one that has been sent callables only, and will answer nothing
            self._core.reader.watch_room(process)
        self.put_back(frame.units())

    def put_back(self, units: list[Task | Part]) -> None:
        """Let units wait at the head of the queue."""
        self.queue.extendleft(reversed(units))

    def _message(self, process: Process, frame: Frame, needed: list[Prepared]) -> wire.Message | None:
        buffers: list[Any] = []
        if frame.tasks is not None:
            calls = self._calls(frame, needed, buffers)
            if not frame.tasks:
                return None
            needed[:] = dict.fromkeys(needed)
            frame.needed = self._core.callables.claim(process, needed)
            body: Any = (process.news(), frame.needed, calls)
            kind = wire.Kind.TASKS
        else:
            body = self._chunk(process, frame, needed, buffers)
            kind = wire.Kind.CHUNK
        data = pickle.dumps(body, 5)
        if frame.part is not None and (buffers or len(data) > wire.INLINE):
            job = frame.part.job
            job.sent = max(job.sent, len(data) + sum(len(buffer.raw()) for buffer in buffers))
        return wire.pack(self._core.store, kind, frame.number, data, buffers)

    def _calls(self, frame: Frame, needed: list[Prepared], buffers: list[Any]) -> list[Any]:
        """Pack the tasks; one that cannot be pickled fails, and leaves the frame."""
        calls: list[Any] = []
        sound: list[Task] = []
        for task in frame.tasks or ():
            prepared = task.prepared
            if prepared is not None:
                needed.append(prepared)
                if not task.keywords and _ATOMS.issuperset(map(type, task.arguments)):
                    # Atoms have no identity to share by accident with the task beside them.
                    calls.append((prepared.number, task.arguments))
                    sound.append(task)
                    continue
            fn = None if prepared is not None else task.fn
            try:
                packed = packing.pack_one((fn, task.arguments, task.keywords), buffers)
            except BaseException as error:  # noqa: BLE001 - pickling runs the arguments' own code
                self._core.settle(task.future, None, error)
                continue
            calls.append((0 if prepared is None else prepared.number, None, packed))
            sound.append(task)
        frame.tasks = sound
        return calls

    def _chunk(self, process: Process, frame: Frame, needed: list[Prepared], buffers: list[Any]) -> tuple[Any, ...]:
        part = frame.part
        assert part is not None  # noqa: S101 - a frame without tasks has a part
        chunk, prepared = part.job.chunk, part.job.prepared
        needed.append(prepared)
        whole = part.start == 0 and part.stop == len(chunk.items)
        items = chunk.items if whole else chunk.items[part.start : part.stop]
        packed = packing.pack_all(list(items), buffers, lambda _, error: packing.Unsendable(error))
        needed[:] = dict.fromkeys(needed)
        frame.needed = self._core.callables.claim(process, needed)
        return process.news(), frame.needed, frame.marked, chunk.star, chunk.stop_on_error, packed
