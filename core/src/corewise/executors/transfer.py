"""How objects and exceptions cross to another process. Imported by workers: cloudpickle comes in only when needed.

A module-level function travels by reference, as ``pickle`` does it; what ``pickle`` cannot do (lambdas, closures,
local classes) and everything that lives in ``__main__``, which is another module in a worker, travels by value through
cloudpickle. An exception arrives as itself wherever it can be rebuilt, with the remote traceback as its cause.
"""

from __future__ import annotations

import contextlib
import pickle

from corewise.errors import RemoteError, RemoteTraceback, text_of

TYPE_CHECKING = False  # what type checkers take for true: a worker imports this before its first task
if TYPE_CHECKING:
    from typing import Any

__all__ = ["PackedError", "dumps", "dumps_callable", "pack_exception", "traceback_of", "unpack_exception"]


def dumps(obj: Any, minimum_buffer: int | None = None) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle an object so that any other process of the same Python can load it with ``pickle.loads``.

    Args:
        obj: What travels.
        minimum_buffer: Buffers of at least so many bytes are left out of the pickle, for the caller to send beside
            it (pickle protocol 5, out-of-band). None keeps everything in the pickle.

    Returns:
        The pickle, and the buffers that ``pickle.loads(..., buffers=...)`` needs, in order.

    Raises:
        Exception: Whatever cloudpickle says of an object that cannot travel.
    """
    buffers: list[pickle.PickleBuffer] = []
    take = None if minimum_buffer is None else _taker(buffers, minimum_buffer)
    # pickle fails with exceptions of any class; cloudpickle has the last word.
    try:
        data = pickle.dumps(obj, 5, buffer_callback=take)
        if b"__main__" not in data:
            return data, buffers
    except (MemoryError, RecursionError):  # what is too large or too deep is so for both
        raise
    except Exception:  # noqa: BLE001, S110 - as said
        pass
    import cloudpickle

    buffers.clear()
    return cloudpickle.dumps(obj, 5, buffer_callback=take), buffers


def _taker(buffers: list[pickle.PickleBuffer], minimum: int) -> Any:
    def take(buffer: pickle.PickleBuffer) -> bool:
        """Keep a large buffer out of the pickle; anything true leaves it in."""
        if buffer.raw().nbytes < minimum:
            return True
        buffers.append(buffer)
        return False

    return take


def dumps_callable(fn: Any) -> bytes:
    """Pickle a callable, everything it binds included, in one piece."""
    return dumps(fn)[0]


def pack_exception(error: BaseException) -> bytes:
    """Pickle an exception so that ``unpack_exception`` gives back as much of it as can be rebuilt."""
    if type(error) is PackedError:
        return error.data
    text = traceback_of(error)
    cls = type(error)
    type_name = f"{cls.__module__}.{cls.__qualname__}"
    return pickle.dumps((_rebuildable(error), type_name, text_of(error), text), 5)


class PackedError(Exception):
    """Stands for an exception that was packed when it was raised: what it holds may change before it travels.

    Attributes:
        data: What ``pack_exception`` made of it.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.data: bytes = pack_exception(error)


def traceback_of(error: BaseException) -> str:
    """Return the traceback as text, causes included; of an exception that cannot be formatted, where it was raised."""
    import traceback

    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - the class answers in its own way when it is asked for attributes
        elsewhere = error.__cause__.text if isinstance(error.__cause__, RemoteTraceback) else ""
        here = "".join(traceback.format_tb(error.__traceback__))
        return f"{elsewhere}{here}{type(error).__name__}: {text_of(error)}\n"


def unpack_exception(data: bytes) -> BaseException:
    """Rebuild an exception that ``pack_exception`` packed in another process.

    Returns:
        The exception itself, or a ``RemoteError`` in its place; its ``__cause__`` holds the remote traceback.
    """
    rebuildable, type_name, message, text = pickle.loads(data)
    error = _load(rebuildable)
    if error is None:
        error = RemoteError(f"{type_name}: {message}", type_name=type_name, traceback=text)
    error.__cause__ = RemoteTraceback(text)
    return error


def _rebuildable(error: BaseException) -> bytes | None:
    """Pickle the exception alone in a way that is known to load again; None where there is none.

    Many classes pickle and do not load, because ``args`` are not what their ``__init__`` takes: these are rebuilt
    without calling it.
    """
    for candidate in (error, _Bare(type(error), error.args, dict(error.__dict__))):
        with contextlib.suppress(BaseException):  # its own code runs, and whatever that raises is no news
            data = dumps(candidate)[0]
            if isinstance(_load(data), type(error)):
                return data
    return None


def _load(data: bytes | None) -> BaseException | None:
    if data is None:
        return None
    try:
        error = pickle.loads(data)
    except BaseException:  # noqa: BLE001 - the class may be missing here, or refuse to be built, by SystemExit too
        return None
    return error if isinstance(error, BaseException) else None


class _Bare:
    """Pickles as an exception that is built without its ``__init__``."""

    def __init__(self, cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> None:
        self._parts = cls, args, state

    def __reduce__(self) -> tuple[Any, ...]:
        return _bare, self._parts


def _bare(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error
