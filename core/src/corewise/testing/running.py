"""Run a conformance suite without a test runner."""

from __future__ import annotations

from typing import Any

from corewise.backends.contract import Backend
from corewise.executors.contract import ExecutorFactory
from corewise.testing.backend import BackendConformance
from corewise.testing.executor import ExecutorConformance

__all__ = ["check_backend", "check_executor"]


def check_executor(factory: ExecutorFactory, *, workers: int = 2) -> None:
    """Check everything that ``ExecutorConformance`` promises.

    Args:
        factory: What the plugin's ``corewise_executors`` returns.
        workers: How many workers each executor has.

    Raises:
        ExceptionGroup: With one error for each promise that is not kept, the promise as its note.

    Example:
        >>> from corewise.builtin.serial import corewise_executors
        >>> check_executor(corewise_executors()[0])
    """
    suite = type("Suite", (ExecutorConformance,), {"factory": factory, "workers": workers})
    _run(suite(), f"executor {factory.name!r} does not conform")


def check_backend(backend: Backend) -> None:
    """Check everything that ``BackendConformance`` promises.

    Args:
        backend: What the plugin's ``corewise_backends`` returns; its library must be installed.

    Raises:
        ExceptionGroup: With one error for each promise that is not kept, the promise as its note.
    """
    suite = type("Suite", (BackendConformance,), {"backend": backend})
    _run(suite(), f"backend {backend.name!r} does not conform")


def _run(suite: Any, failure: str) -> None:
    errors: list[Exception] = []
    for name in dir(suite):
        if not name.startswith("test_"):
            continue
        try:
            getattr(suite, name)()
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001 - SystemExit too: every failure is reported, none ends the run
            error = raised if isinstance(raised, Exception) else _as_exception(raised)
            error.add_note(name.removeprefix("test_").replace("_", " "))
            errors.append(error)
    if errors:
        raise ExceptionGroup(failure, errors)


def _as_exception(raised: BaseException) -> Exception:
    error = AssertionError(f"{type(raised).__name__} left the executor: {raised}")
    error.__cause__ = raised
    return error
