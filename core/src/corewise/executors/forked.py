"""The end of a process that a task has forked, and which comes back from the task as its worker does."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["end_child"]


def end_child(error: BaseException | None) -> NoReturn:
    """End this process as a program ends that has nothing behind the task: whoever waits for it gets its exit code.

    Exit functions do not run and standard streams are not flushed, for what is in them is the worker's.

    Args:
        error: What the task raised in this process; None where it returned.
    """
    from corewise.executors.transfer import PackedError, unpack_exception

    if isinstance(error, PackedError):
        error = unpack_exception(error.data)
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        os._exit((error.code or 0) & 0xFF)
    if error is None:
        os._exit(0)
    sys.excepthook(type(error), error, error.__traceback__)
    os._exit(1)
