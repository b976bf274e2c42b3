"""The exceptions and warnings of corewise; every exception survives pickling with all that it knows.

::

    CorewiseError
    ├── SettingsError (ValueError)        settings that cannot hold; lists every problem at once
    ├── PluginError
    │   ├── UnknownPluginError (LookupError)   no plugin, backend or executor of this name
    │   └── BrokenPluginError             it is installed, and could not be loaded
    ├── ExecutorUnavailableError (RuntimeError)   the executor cannot run here, and why
    ├── ItemTimeoutError (TimeoutError)   one item ran longer than item_timeout
    ├── WorkerDiedError                   a worker ended while it ran this item
    ├── RemoteError                       stands for a remote exception that could not be pickled
    ├── ClosedError (RuntimeError)        a call after closing, or a call that closing ended
    ├── QueueFullError                    more requests wait than max_queue allows
    └── BatchResultError                  a batch method answered in the wrong shape
    RemoteTraceback                       cause of an exception that was raised elsewhere: its traceback as text
    CorewiseWarning (UserWarning)
    ├── SettingsWarning                   settings that hold, and hardly as meant
    ├── PluginWarning                     plugins that are not active, and why
    ├── ExecutorWarning                   an executor that runs, and not as well as it could
    └── BackendWarning                    a library whose threads could not be limited as asked
"""

from __future__ import annotations

import sys
import warnings

TYPE_CHECKING = False  # what type checkers take for true: a worker imports this before its first task
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "BackendWarning",
    "BatchResultError",
    "BrokenPluginError",
    "ClosedError",
    "CorewiseError",
    "CorewiseWarning",
    "ExecutorUnavailableError",
    "ExecutorWarning",
    "ItemTimeoutError",
    "PluginError",
    "PluginWarning",
    "QueueFullError",
    "RemoteError",
    "RemoteTraceback",
    "SettingsError",
    "SettingsWarning",
    "UnknownPluginError",
    "WorkerDiedError",
    "text_of",
    "warn",
]


class CorewiseError(Exception):
    """Base of everything that corewise raises on its own behalf."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild without calling ``__init__``, so that keyword-only arguments cost nothing on the way."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[CorewiseError], args: tuple[Any, ...], state: dict[str, Any]) -> CorewiseError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class SettingsError(CorewiseError, ValueError):
    """Settings that cannot hold.

    Attributes:
        problems: One line each: ``source: key: what is wrong, got VALUE; allowed …; did you mean …?``
    """

    def __init__(self, problems: tuple[str, ...] | list[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        head = "1 setting is wrong" if len(self.problems) == 1 else f"{len(self.problems)} settings are wrong"
        super().__init__("\n  ".join([f"{head}:", *self.problems]))


class PluginError(CorewiseError):
    """Something is wrong with a plugin."""


class UnknownPluginError(PluginError, LookupError):
    """No plugin offers what was asked for by name; the message has close matches or the install command."""


class BrokenPluginError(PluginError):
    """The plugin is installed and could not be loaded; the original error is the cause."""


class ExecutorUnavailableError(CorewiseError, RuntimeError):
    """The executor exists and cannot run here; the message says why and what to install or set."""


class ItemTimeoutError(CorewiseError, TimeoutError):
    """One item ran longer than ``item_timeout`` seconds; the other items are not touched."""


class WorkerDiedError(CorewiseError):
    """A worker ended while it ran this item.

    Attributes:
        exitcode: Exit status of the process; negative for the number of the signal that ended it; None if unknown.
        stderr: The last lines that the worker wrote to standard error.
    """

    def __init__(self, message: str, *, exitcode: int | None = None, stderr: str = "") -> None:
        super().__init__(message)
        self.exitcode = exitcode
        self.stderr = stderr


class RemoteError(CorewiseError):
    """Stands for an exception that was raised elsewhere and could not be pickled.

    Attributes:
        type_name: Qualified name of the original exception's class.
        traceback: The original traceback as text.
    """

    def __init__(self, message: str, *, type_name: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.traceback = traceback


class ClosedError(CorewiseError, RuntimeError):
    """A call after closing, or a call that closing ended before it could finish."""


class QueueFullError(CorewiseError):
    """More requests wait than ``max_queue`` allows, and ``overflow="raise"`` was chosen."""


class BatchResultError(CorewiseError):
    """A batch method answered in the wrong shape; the message names the method and both lengths."""


class RemoteTraceback(Exception):  # noqa: N818 - a carrier of text, never raised by itself
    """The traceback of an exception that was raised elsewhere, as text: its ``__cause__`` here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'


class CorewiseWarning(UserWarning):
    """Base of everything that corewise warns of."""


class SettingsWarning(CorewiseWarning):
    """Settings that hold, and hardly as meant."""


class PluginWarning(CorewiseWarning):
    """Plugins that are not active, and why."""


class ExecutorWarning(CorewiseWarning):
    """An executor that runs, and not as well as it could."""


class BackendWarning(CorewiseWarning):
    """A library whose threads could not be limited as asked, and why."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the nearest caller outside of corewise and its plugins, wherever inside it was noticed."""
    level = 2
    frame = sys._getframe(1)  # noqa: SLF001 - documented, and what warnings itself does
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def _is_inside(module: str) -> bool:
    """Whether a module belongs to corewise or to a plugin, whose package is called ``corewise_`` and more."""
    package = module.partition(".")[0]
    return package == "corewise" or package.startswith("corewise_")


def text_of(error: BaseException) -> str:
    """Return ``str(error)``, or that there is no such text: a broken ``__str__`` must not hide that there was an error.

    Example:
        >>> text_of(ValueError("7 is odd"))
        '7 is odd'
    """
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it is the user's code
        return f"<{type(error).__name__} whose text cannot be made>"
