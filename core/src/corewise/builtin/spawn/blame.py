"""Whose fault the end of a worker was: that call is charged with it, everything else runs again.

An item that a worker's main thread runs is known by the page. Calls that answer later are several in a worker: the page
says which of them the event loop was running a step of, and which were in threads. One that was running by itself is
charged. Where several ran, or none, because the program was ended from outside or by a thread of a call's own, no call
can be told from the others. Then those run again together once, and after that are sent one by one, each after the
trial of the one before. What is on trial when the worker ends goes first the next time, and is charged if the worker
ends while it is alone there. None has to finish alone, because calls may wait for each other.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from corewise.builtin.spawn import page
from corewise.builtin.spawn.death import died
from corewise.builtin.spawn.jobs import Frame, Part, Task
from corewise.builtin.spawn.process import Process
from corewise.errors import ItemTimeoutError

if TYPE_CHECKING:
    from corewise.builtin.spawn.core import Core

__all__ = ["Blame"]

_MORE_SUSPICIONS = 5
"""How much oftener than ``max_crashes`` a call may be among those of which one, unknown, ended its worker."""


class Blame:
    """Charges calls with the end of their worker, and fails those that are charged too often.

    The pool's lock guards all of it.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def units_again(self, process: Process) -> list[Task | Part]:
        """Charge whoever ended a worker; returns what is to run again, in order."""
        frames = [*process.frames.values()]
        waiting = [frame for frame in frames if process.waits(frame)]
        active = process.active()
        suspects = [(frame, place) for frame, place in active if frame is not None] or [(each, 0) for each in waiting]
        guilty, place = self._guilty(process, suspects, ran=len(active))
        places = {} if process.timed_out is not None else {frame: at for frame, at in suspects if frame is not guilty}
        for job in {frame.part.job for frame in places if frame.part is not None}:
            job.suspicions += 1
        loading = process.words[page.FRAME] in process.kept
        first = self._first(process, suspects)
        again: list[Task | Part] = []
        for frame in sorted(frames, key=lambda frame: frame is not first):
            if frame is guilty:
                again.extend(self._charge(process, frame, place))
            elif frame in places:
                again.extend(self._suspect(process, frame, places[frame]))
            elif loading and frame not in waiting:
                again.extend(self._charge_callable(process, frame))
                loading = False
            else:
                again.extend(frame.units())
        return again

    def _first(self, process: Process, suspects: list[tuple[Frame, int]]) -> Frame | None:
        """Return the message that goes first now: if it ends its next worker, too, it will have been alone there."""
        now = monotonic()
        tried = (frame for frame, _ in suspects if process.trial(frame, now) > 0)
        return next(tried, None) or process.running()[0]

    def _guilty(self, process: Process, suspects: list[tuple[Frame, int]], *, ran: int) -> tuple[Frame | None, int]:
        """Return the message that is charged and the place in it, None where it is not certain enough.

        Args:
            process: The worker.
            suspects: The calls that ran, else those that waited.
            ran: How many calls ran, those that have been answered and left something behind included.
        """
        if process.timed_out is not None:
            return process.timed_out, 0
        if len(suspects) == 1 and (ran == 1 or (ran == 0 and len(suspects[0][0]) == 1)):
            return suspects[0]
        return None, 0

    def _suspect(self, process: Process, frame: Frame, place: int) -> list[Task | Part]:
        """Try again what may have ended its worker: with the others, then one by one, and not for ever."""
        part = frame.part
        if part is None:
            return frame.units()
        suspicions = part.job.suspicions
        if suspicions < self._core.settings.max_crashes + _MORE_SUSPICIONS:
            before, item, behind = part.around(part.start + place)
            return [*item, *before, *behind] if suspicions == 1 else part.singly()
        error = died(process, f"{suspicions} workers ended with this call and others in them, nobody knows by which")
        for position in range(part.start, part.stop):
            self._fail(job_part=part, position=position, error=error)
        return []

    def _charge(self, process: Process, frame: Frame, place: int) -> list[Task | Part]:
        """Charge the item at ``place``; returns what is to run again."""
        if frame.tasks is not None:
            tasks = frame.tasks
            place = min(place, len(tasks) - 1)
            task = tasks[place]
            task.crashes += 1
            error = self._verdict(process, frame, task.crashes)
            if error is None:
                return [*tasks]
            self._core.settle(task.future, None, error)
            return [*tasks[:place], *tasks[place + 1 :]]
        part = frame.part
        if part is None:
            return []
        job = part.job
        if not frame.marked and len(frame) > 1:
            job.marked = True
            job.unattributed += 1
            return [part]
        position = part.start + place
        job.crashes[position] = job.crashes.get(position, 0) + 1 + job.unattributed
        job.unattributed = 0
        error = self._verdict(process, frame, job.crashes[position])
        before, item, after = part.around(position)
        if error is None:
            return [*before, *item, *after]
        self._fail(job_part=part, position=position, error=error)
        return [*before, *after]

    def _fail(self, *, job_part: Part, position: int, error: BaseException) -> None:
        job = job_part.job
        outcome = job.add(position, position + 1, [None], {0: error}, 0.0)
        if outcome is not None:
            self._core.settle(job.future, outcome, None)

    def _charge_callable(self, process: Process, frame: Frame) -> list[Task | Part]:
        """Charge all of a message whose callable ended the worker while it was loaded."""
        loading = process.words[page.FRAME]
        again: list[Task | Part] = []
        for unit in frame.units():
            if isinstance(unit, Task):
                mine = unit.prepared is not None and unit.prepared.number == loading
                unit.crashes += mine
                error = self._verdict(process, frame, unit.crashes) if mine else None
                if error is None:
                    again.append(unit)
                else:
                    self._core.settle(unit.future, None, error)
                continue
            unit.job.prepared.crashes += 1
            error = self._verdict(process, frame, unit.job.prepared.crashes)
            if error is None:
                again.append(unit)
                continue
            for position in range(unit.start, unit.stop):
                self._fail(job_part=unit, position=position, error=error)
        return again

    def _verdict(self, process: Process, frame: Frame, crashes: int) -> BaseException | None:
        """Return the error of an item that is not to be tried again, None for one that is."""
        if process.timed_out is frame:
            return ItemTimeoutError(
                f"the item ran longer than item_timeout={frame.limit} seconds; its worker was ended"
            )
        if crashes < self._core.settings.max_crashes:
            return None
        times = "a worker" if crashes == 1 else f"{crashes} workers"
        return died(process, f"{times} ended while running this item")
