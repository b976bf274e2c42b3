"""What happens when a worker ends, or must: the item it was running is blamed, everything else runs again elsewhere."""

from __future__ import annotations

import logging
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from corewise.builtin.spawn import page
from corewise.builtin.spawn.blame import Blame
from corewise.builtin.spawn.death import died
from corewise.builtin.spawn.futures import PoolFuture
from corewise.builtin.spawn.jobs import Frame, Part
from corewise.builtin.spawn.process import Process
from corewise.errors import ClosedError

if TYPE_CHECKING:
    from corewise.builtin.spawn.core import Core

__all__ = ["Healer"]

_PATIENCE = 0.005
"""Seconds after which what waits behind a running item goes to a worker that has nothing to do."""
_SETTLING = 0.001
"""Seconds between calling tasks back and reading how many had begun: no store takes that long to be seen."""
_FEWEST_START_DEATHS = 3
_HOLD_OFF = 1.0
"""Seconds for which no worker is started after that has failed, while others run; each time in a row twice as long."""
_LONGEST_HOLD_OFF = 60.0

_logger = logging.getLogger("corewise.spawn")


class Healer:
    """Ends workers that must end, and takes back or blames what they had. The pool's lock guards all of it.

    Attributes:
        start_deaths: How many workers have ended before they answered anything, since one did.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._blame = Blame(core)
        self.start_deaths: int = 0
        self._hold_off = _HOLD_OFF
        self._held_off_until = 0.0

    def next_look(self) -> float | None:
        """Return in how many seconds ``look`` has something to do, None for never."""
        now = monotonic()
        core = self._core
        due: list[float] = []
        spare = self._spare()
        idle_timeout = core.settings.idle_timeout
        for process in core.processes:
            if process.frames:
                due.extend(self._due(process, now, spare=spare))
            elif idle_timeout is not None and not process.stopping:
                due.append(process.last_used + idle_timeout - now)
        if now < self._held_off_until and core.dispatcher.queue and len(core.processes) < core.limit:
            due.append(self._held_off_until - now)
        return max(0.0, min(due)) if due else None

    def _due(self, process: Process, now: float, *, spare: bool) -> list[float]:
        due: list[float] = []
        for frame in process.frames.values() if process.timed else ():
            if frame.limit is not None and process.timed_out is None:
                since = self._since(process, frame)
                due.append(max((now if since is None else since) + frame.limit - now, _PATIENCE))
            if frame.trial and self._core.dispatcher.queue and frame.number >= process.words[page.WAITS]:
                due.append(max(process.trial(frame, now), _PATIENCE))  # the next call follows, also if it is over now
        head = next(iter(process.frames.values()))
        if self._finished_unanswered(process, head) or (spare and self._movable(process, head)):
            due.append(max(head.looked + _PATIENCE - now, _SETTLING))
        return due

    def _since(self, process: Process, frame: Frame) -> float | None:
        """Return since when a message runs, None where it has not begun."""
        running, _, since = process.running()
        if running is frame:
            return since if since < page.NEVER / 1e9 else None
        # One that answers later does not run all the while; what is known is when it was sent, or, to a worker that
        # had to start first, when that answered for the first time, or when the last one had begun.
        if not process.waits(frame):
            return None
        return max(frame.sent, process.ready) if process.answered else process.words[page.WAITS_SINCE] / 1e9

    def look(self) -> None:
        """End items that have run out of time, move what waits behind a long one, let idle workers go."""
        core = self._core
        now = monotonic()
        spare = self._spare()
        for process in [*core.processes]:
            if process.frames:
                self._expire(process, now)
                self._relieve(process, now, spare=spare)
            elif (
                core.settings.idle_timeout is not None
                and not process.stopping
                and now - process.last_used >= core.settings.idle_timeout
            ):
                core.retire(process)

    def _spare(self) -> bool:
        core = self._core
        return (len(core.processes) < core.limit and not self.holds_off()) or any(
            not process.frames and not process.stopping and not process.full for process in core.processes
        )

    def _expire(self, process: Process, now: float) -> None:
        for frame in process.frames.values() if process.timed else ():
            if frame.limit is None or process.timed_out is not None:
                continue
            since = self._since(process, frame)
            if since is not None and now >= since + frame.limit and not self._held_up(process, frame, now - since):
                process.timed_out = frame
                process.stopping = True
                process.kill()

    def _held_up(self, process: Process, frame: Frame, seconds: float) -> bool:
        """Whether a call that answers later may have run out of time because another one holds the event loop.

        That one will run out of time, too. Nobody is waited for longer than twice the time.
        """
        if frame.limit is None or not frame.defers() or seconds > 2 * frame.limit:
            return False
        return any(other is not None and other is not frame and other.limit for other, _ in process.active())

    def _finished_unanswered(self, process: Process, head: Frame) -> bool:
        """Whether tasks have finished whose answer waits for one behind them in the same message."""
        if head.tasks is None or len(head.tasks) < 2:
            return False
        running, begun, _ = process.running()
        return running is head and begun > 1

    def _movable(self, process: Process, head: Frame) -> bool:
        """Whether a worker has something that it has not begun."""
        if len(process.frames) > 1:
            return True
        if head.tasks is None or len(head.tasks) < 2:
            return False
        running, begun, _ = process.running()
        return running is head and begun < len(head.tasks)

    def _relieve(self, process: Process, now: float, *, spare: bool) -> None:
        """Part a long task from those that travelled with it, after a while."""
        head = next(iter(process.frames.values()))
        if now - head.looked < _PATIENCE:
            return
        if self._finished_unanswered(process, head):
            head.looked = now
            process.ring()
        if spare and self._movable(process, head):
            head.looked = now
            self._move(process, head, now)

    def _move(self, process: Process, head: Frame, now: float) -> None:
        """Take back what a worker has and has not begun."""
        if len(process.frames) > 1:
            self._take_back(process)
        if head.tasks is None or process.running()[0] is not head:
            return
        if head.revoked is None:
            process.words[page.REVOKED] = head.number
            head.revoked = now
        elif now - head.revoked >= _SETTLING:
            running, begun, _ = process.running()
            if running is head and begun >= 0:
                back = head.tasks[begun:]
                del head.tasks[begun:]
                self._core.dispatcher.put_back([*back])

    def _take_back(self, process: Process) -> None:
        """Take what a worker has not read yet out of its socket.

        It may read on meanwhile: messages are taken by the one or by the other, so it may find a chunk whose callable
        was taken. It gives that back (``Answers``). A worker that has not answered anything may not have read yet who
        it is, so nothing is taken from it.
        """
        if not process.answered:
            return
        while (number := process.far.take_back()) is not None:
            if process.kept.pop(number, False) is None:
                continue  # it was a callable; it will be sent again when it is needed
            frame = process.leave(number)
            if frame is not None:
                process.untold(frame.news)
                process.items -= len(frame)
                if frame.block:
                    process.lent.discard(frame.block)
                    self._core.blocks_back([frame.block])
                self._core.dispatcher.put_back(frame.units())

    def withdraw(self, future: PoolFuture) -> None:
        """Drop the parts of a chunk that nobody waits for any more, where they have not begun."""
        core = self._core
        for process in core.processes:
            if any(frame.part is not None and frame.part.job.future is future for frame in process.frames.values()):
                self._take_back(process)
        queue = core.dispatcher.queue
        withdrawn = [unit for unit in queue if isinstance(unit, Part) and unit.job.future is future]
        for unit in withdrawn:
            queue.remove(unit)
        if withdrawn:
            core.settle(future, None, ClosedError("nobody waits for this chunk any more"))

    def answered(self, process: Process) -> None:
        """Replace a worker between items where it has run enough of them or uses too much memory."""
        settings = self._core.settings
        if process.frames:
            return
        process.last_used = monotonic()
        if process.stopping:
            return
        tired = settings.max_tasks_per_worker is not None and process.items >= settings.max_tasks_per_worker
        if not tired and settings.max_memory_per_worker is not None:
            tired = process.memory() > settings.max_memory_per_worker
        if tired:
            self._core.retire(process)

    def gone(self, process: Process) -> None:
        """Deal with the end of a worker: whoever was running is blamed, the others run again."""
        core = self._core
        process.reap()
        core.processes.remove(process)
        frames = [*process.frames.values()]
        core.blocks_back([*process.lent], lost=True)
        begun_nothing = process.words[page.FRAME] == 0 and process.words[page.WAITS] == 0
        if not process.answered and begun_nothing and process.timed_out is None:
            self._died_starting(process, frames)
            return
        core.dispatcher.put_back(self._blame.units_again(process))

    def _died_starting(self, process: Process, frames: list[Frame]) -> None:
        core = self._core
        core.dispatcher.put_back([unit for frame in frames for unit in frame.units()])
        if process.refusal is not None:
            self.cannot_start(process.refusal)
            return
        if process.stopping and not frames:
            return
        self.start_deaths += 1
        if self.start_deaths >= max(_FEWEST_START_DEATHS, core.settings.max_crashes):
            how = f"{self.start_deaths} workers in a row ended while they started"
            self.cannot_start(died(process, how))

    def started(self) -> None:
        """Note that a worker has answered for the first time. The lock is held, as everywhere."""
        self.start_deaths = 0
        self._hold_off = _HOLD_OFF

    def cannot_start(self, error: BaseException) -> None:
        """Leave all work to the workers that run, and try again in a while; fail it where there are none."""
        core = self._core
        others = [process for process in core.processes if not process.stopping]
        if not others:
            self.start_deaths = 0
            self.give_up(error)
            return
        self._held_off_until = monotonic() + self._hold_off
        if not any(process.answered for process in others):  # they may end in the same way, and then all fails
            return
        text = "a worker cannot be started, so the others do its work for the next %.0f s: %s"
        core.callbacks.add_quick(partial(_logger.warning, text, self._hold_off, error))
        self._hold_off = min(2 * self._hold_off, _LONGEST_HOLD_OFF)

    def holds_off(self) -> bool:
        """Return whether no worker is to be started now: that has failed lately, and there are others."""
        return monotonic() < self._held_off_until and not all(process.stopping for process in self._core.processes)

    def give_up(self, error: BaseException) -> None:
        """Fail all that waits and runs."""
        core = self._core
        units = core.dispatcher.take_all()
        for process in core.processes:
            for frame in [*process.frames.values()]:
                units.extend(frame.units())
                process.leave(frame.number)
        core.fail(units, error)
        if core.callbacks.users_wait():
            core.reader.summon()
