"""From what Ray says of a task to the outcome of its chunk."""

from __future__ import annotations

import re
from concurrent.futures import BrokenExecutor
from typing import Any

import attrs
from ray import exceptions

from corewise.errors import ItemTimeoutError, RemoteTraceback, WorkerDiedError
from corewise.executors.chunks import ChunkOutcome
from corewise.executors.transfer import unpack_exception
from corewise_ray import logs
from corewise_ray.clock import take_mark
from corewise_ray.notices import Notices
from corewise_ray.sizes import SECONDS_PER_BYTE, visible_bytes
from corewise_ray.work import Answer

__all__ = ["LOST", "Judge", "reason", "unequipped"]

LOST = (
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.ObjectFetchTimedOutError,
    exceptions.RayActorError,
)
"""What Ray says of a task whose process, node or result is gone, through no fault of Ray's or the executor's."""


@attrs.define
class Judge:
    """Judges the answers of one chunk. Used by the dispatcher's thread alone, so it needs no lock.

    Attributes:
        items: How many items the chunk has.
        size: Bytes of the items, as far as can be seen.
        item_timeout: Seconds that its item may take, None for no limit.
        mark: What a worker leaves behind that ended itself with its item.
        max_crashes: How often it may be run again after its worker was lost. A chunk of several items is run again
            once; then the engine sends each by itself, so that one alone is to blame.
        notices: Where to note what a worker could not limit.
        crashes: How often that was so.
    """

    items: int
    size: int
    item_timeout: float | None
    mark: bytes
    max_crashes: int
    notices: Notices
    crashes: int = 0

    def outcome(self, answer: Answer) -> ChunkOutcome:
        """Return the outcome of a chunk that was answered; its log records are logged here."""
        results, packed, seconds, records, notice = answer
        if notice is not None:
            self.notices.note(notice)
        if records is not None:
            logs.emit(records)
        failures = {position: unpack_exception(error) for position, error in packed.items()} if packed else None
        # Copying counts as work: large items travel singly, and few of them fill the object store at once.
        copying = (self.size + visible_bytes(results)) * SECONDS_PER_BYTE
        return ChunkOutcome(results, failures, seconds + copying)

    def lost(self, error: BaseException) -> ChunkOutcome | None:
        """Return the outcome of a chunk whose worker was lost; None for it to be run again.

        Raises:
            WorkerDiedError: It has several items, and any may be to blame.
        """
        if self.item_timeout is not None and take_mark(self.mark):
            return _failed(ItemTimeoutError(f"map: an item ran longer than item_timeout={self.item_timeout} seconds"))
        self.crashes += 1
        if self.crashes <= (self.max_crashes if self.items == 1 else 1):
            return None
        died = WorkerDiedError(
            f"executor 'ray': its worker ended {self.crashes} times while it ran this item; "
            f"Ray says: {_one_line(error)}; see max_crashes of executors.ray"
        )
        if self.items == 1:
            return _failed(died)
        raise died


def unequipped(error: BaseException) -> BrokenExecutor | None:
    """Return what to raise where the worker has no corewise, or another one; None where that is not what is wrong."""
    missing = _missing(error)
    if missing is None:
        return None
    broken = BrokenExecutor(
        f"executor 'ray': a worker cannot run corewise_ray ({missing}): install the same versions of corewise and "
        "corewise-ray on every node, or by runtime_env of executors.ray"
    )
    broken.__cause__ = error
    return broken


def _missing(error: BaseException) -> str | None:
    """Return what a worker could not import of corewise."""
    if isinstance(error, exceptions.RayActorError):
        # Of an actor that could not be made, Ray tells the text alone.
        found = _MISSING.search(str(error))
        return found and found.group()
    cause = _cause(error) if isinstance(error, exceptions.RayTaskError) else None
    ours = isinstance(cause, ImportError) and (cause.name or "").partition(".")[0] in {"corewise", "corewise_ray"}
    return str(cause) if ours else None


_MISSING = re.compile(r"(No module named|cannot import name '\w+' from) '(corewise|corewise_ray)\b[^\n]*")


def reason(error: BaseException) -> BaseException:
    """Return what to raise for a task that Ray could not run or answer."""
    if isinstance(error, exceptions.RayTaskError):
        # Arguments that could not be loaded, or results that could not be pickled.
        cause = _cause(error)
        raised: BaseException = cause if isinstance(cause, BaseException) else error
        if raised is cause:
            raised.__cause__ = RemoteTraceback(error.traceback_str)
        return raised
    if isinstance(error, exceptions.RayError):
        broken = BrokenExecutor(f"executor 'ray': Ray cannot run the tasks: {type(error).__name__}: {_one_line(error)}")
        broken.__cause__ = error
        return broken
    return error


def _cause(error: Any) -> Any:
    """Return what was raised in the worker, as far as it arrived."""
    cause = error.cause
    return cause.client_exc if isinstance(cause, exceptions.RaySystemError) else cause


def _failed(error: BaseException) -> ChunkOutcome:
    return ChunkOutcome([None], {0: error}, 0.0)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
