"""What workers say: results, refusals to start, log records, lines of standard error."""

from __future__ import annotations

import logging
import pickle
from _socket import MSG_DONTWAIT
from time import monotonic
from typing import TYPE_CHECKING, Any

import attrs

from corewise.builtin.spawn import packing
from corewise.builtin.spawn.jobs import Frame, Part, Task
from corewise.builtin.spawn.process import Process
from corewise.builtin.spawn.wire import Kind, Received
from corewise.executors.transfer import unpack_exception

if TYPE_CHECKING:
    from corewise.builtin.spawn.core import Core

__all__ = ["Answers"]

_logger = logging.getLogger("corewise.spawn")


class Answers:
    """Takes in messages. One thread at a time, the one that polls, calls it; the pool's lock is taken where needed."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def receive(self, process: Process) -> bool:
        """Take in one message; False where none waits or the worker is gone."""
        try:
            received = process.channel.receive(MSG_DONTWAIT)
        except ConnectionResetError:  # said once where the worker died with messages unread; its own come after it
            return True
        except BlockingIOError:
            return False
        if received is None:
            with self._core.lock:  # what has closed its socket cannot be reached: its end is the same as its death
                process.stopping = True
                self._core.reader.unwatch(process.channel.sock.fileno())
            process.kill()
            return False
        if received.kind == Kind.DONE:
            self._done(process, received)
        elif received.kind == Kind.REFUSED:
            process.refusal = unpack_exception(bytes(received.body))
        elif received.kind == Kind.RECORD:
            plain, packed = pickle.loads(received.body)
            with self._core.lock:
                self._core.callbacks.add_quick(lambda: _log(plain, packed))
        return True

    def stderr(self, process: Process) -> bool:
        """Hand lines of standard error to the log; False where nothing more was there."""
        lines = process.read_stderr()
        if lines is None:
            with self._core.lock:
                self._core.reader.unwatch(process.stderr)
            return False
        with self._core.lock:
            for line in lines:
                self._core.callbacks.add_quick(LogLine(process.name, line))
        return bool(lines)

    def _done(self, process: Process, received: Received) -> None:
        news, seconds, packed, errors = pickle.loads(received.body)
        if received.block:
            process.channel.attachments.freed.append(received.block)
        results, failures = _unpack(packed, errors, received.buffers)
        size = sum(map(len, received.buffers))
        received.buffers = []
        core = self._core
        with core.lock:
            if not process.answered:
                process.answered, process.ready = True, monotonic()
                core.healer.started()
            if news is not None:
                freed, forgotten = news
                process.channel.attachments.forget(forgotten)
                process.lent.difference_update(freed)
                core.blocks_back(freed)
            frame = process.frames.get(received.number)
            if frame is None:
                return
            if seconds is None:
                self._settle_tasks(frame, results, failures)
                return
            process.leave(received.number)
            process.head_changed()
            if frame.part is not None and len(frame) and not results:
                self._given_back(process, frame)
            elif frame.part is not None:
                self._settle_part(frame.part, results, failures, seconds, size=size)
            else:
                core.dispatcher.measured(frame.answered + len(results), seconds)
                self._settle_tasks(frame, results, failures)
                self._given_back(process, frame)
            core.healer.answered(process)

    def _given_back(self, process: Process, frame: Frame) -> None:
        """Let wait again what a worker did not begin: it was called back, or what it needs was."""
        units = frame.units()
        if units and frame.revoked is None:
            for number in frame.needed:
                process.kept.pop(number, None)  # the worker has dropped it, too, and gets it again
        self._core.dispatcher.put_back(units)

    def _settle_part(
        self, part: Part, results: list[Any], failures: dict[int, BaseException], seconds: float, *, size: int
    ) -> None:
        if results:
            part.job.prepared.seconds = seconds / len(results)
        outcome = part.job.add(part.start, part.stop, results, failures or None, seconds)
        if outcome is not None:
            outcome.size, outcome.sent = size, part.job.sent
            self._core.settle(part.job.future, outcome, None)

    def _settle_tasks(self, frame: Frame, results: list[Any], failures: dict[int, BaseException]) -> None:
        tasks: list[Task] = frame.tasks or []
        settle = self._core.settle
        for place, (task, result) in enumerate(zip(tasks, results, strict=False)):
            settle(task.future, result, failures.get(place) if failures else None)
        del tasks[: len(results)]
        frame.answered += len(results)


def _unpack(
    packed: bytes | list[tuple[bytes, int, int]], errors: dict[int, bytes] | None, buffers: list[memoryview]
) -> tuple[list[Any], dict[int, BaseException]]:
    failures: dict[int, BaseException] = {}
    results: list[Any]
    if isinstance(packed, bytes):
        results = pickle.loads(packed)
    else:
        results = []
        for place, (result, error) in enumerate(packing.unpack_all(packed, buffers)):
            results.append(result)
            if error is not None:
                failures[place] = error
    for place, error_bytes in (errors or {}).items():
        failures[place] = unpack_exception(error_bytes)
    return results, failures


@attrs.frozen
class LogLine:
    """A line that a worker wrote to standard error, on its way to the log."""

    name: str
    text: str

    def __call__(self) -> None:
        """Log it, under the worker's name."""
        _logger.warning("%s: %s", self.name, self.text)


def _log(plain: dict[str, Any], packed: dict[str, tuple[bytes | None, str]]) -> None:
    record = logging.makeLogRecord(plain)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        for name, (data, text) in packed.items():
            setattr(record, name, _attribute(data, text))
        logger.handle(record)


def _attribute(data: bytes | None, text: str) -> Any:
    """Load an attribute of a log record; its text takes the place of one that cannot be loaded."""
    try:
        return text if data is None else pickle.loads(data)
    except BaseException:  # noqa: BLE001 - loading runs the attribute's own code, which may raise SystemExit
        return text
