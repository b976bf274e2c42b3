"""Sends a worker's log records and warnings to the pool, once the worker has imported ``logging`` or ``warnings``."""

from __future__ import annotations

import sys
from _pickle import dumps

from corewise.builtin.spawn import wire
from corewise.builtin.spawn.blocks import BlockStore
from corewise.executors.frozen import ATOMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["install"]

_LONGEST = wire.INLINE // 2


def install(channel: wire.Channel, name: str, levels: dict[str, int] | None) -> None:
    """Hand the records of the worker called ``name`` to the pool; log levels are the pool's."""
    _when_imported("logging", lambda: _relay_logging(channel, name, levels))
    _when_imported("warnings", _relay_warnings)


def _when_imported(module: str, act: Callable[[], None]) -> None:
    if module in sys.modules:
        act()
    else:
        sys.meta_path.insert(0, _Watcher(module, act))


class _Watcher:
    """A finder that finds nothing: it makes something happen right after one module has been imported."""

    def __init__(self, module: str, act: Callable[[], None]) -> None:
        self._module = module
        self._act = act

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """Let the others find the module, and act when its loader has run it."""
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Afterwards(spec.loader, self._act)  # type: ignore[assignment]
        return spec


class _Afterwards:
    """A loader that does what another does, and then something more."""

    def __init__(self, loader: Any, act: Callable[[], None]) -> None:
        self._loader = loader
        self._act = act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then act."""
        self._loader.exec_module(module)
        self._act()


def _relay_logging(channel: wire.Channel, name: str, levels: dict[str, int] | None) -> None:
    import logging

    class Relay(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                text = record.getMessage()
            except Exception:  # noqa: BLE001 - placeholders and arguments do not fit: both are told as they are
                text = f"{_text(record.msg)} {_text(record.args)}"
                self.report(record)
            try:
                channel.send(_message(record, text))
            except OSError:  # the pool is gone, and this process soon
                return
            except Exception:  # noqa: BLE001 - what logs must not fail by it
                self.report(record)

        def report(self, record: logging.LogRecord) -> None:
            """Say on standard error what is wrong with a record, as every handler of the library does."""
            try:
                self.handleError(record)
            except Exception:  # noqa: BLE001 - nobody can be told
                return

    root = logging.getLogger()
    root.addHandler(Relay())
    for logger, level in (levels or {}).items():
        logging.getLogger(logger or None).setLevel(level)

    def make(record: logging.LogRecord) -> logging.LogRecord:
        record.processName = name
        return record

    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(lambda *args, **kwargs: make(factory(*args, **kwargs)))


def _message(record: logging.LogRecord, text: str) -> wire.Message:
    """Pickle a record with its text, as ``logging.handlers.QueueHandler`` prepares one, so that it loads anywhere.

    Attributes that are not plain travel as pickles of their own, each with the text that takes its place where it
    cannot be loaded.
    """
    fields = {**vars(record), "msg": text, "args": None, "exc_info": None}
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = _traceback(record.exc_info)
    plain = {name: value for name, value in fields.items() if type(value) in ATOMS}
    packed = {name: _packed(value) for name, value in fields.items() if name not in plain}
    body = dumps((plain, packed), 5)
    if len(body) > _LONGEST:
        texts = {name: value for name, (_, value) in packed.items()}
        body = dumps((_shortened({**plain, **texts}), {}), 5)
    return wire.pack(BlockStore(), wire.Kind.RECORD, 0, body)


def _traceback(exc_info: Any) -> str:
    import logging

    try:
        return logging.Formatter().formatException(exc_info)
    except Exception:  # noqa: BLE001 - the exception's own code runs
        return _text(exc_info)


def _packed(value: Any) -> tuple[bytes | None, str]:
    from corewise.executors import transfer

    try:
        return transfer.dumps(value)[0], _text(value)
    except Exception:  # noqa: BLE001 - extra attributes may be anything
        return None, _text(value)


def _text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - it is the user's code
        return f"<{type(value).__name__} whose text cannot be made>"


def _shortened(fields: dict[str, Any]) -> dict[str, Any]:
    """Cut texts so that they fit in one message: of a traceback the end is kept, of all others the beginning."""
    import logging

    known = vars(logging.makeLogRecord({}))
    room = _LONGEST // 16
    short: dict[str, Any] = {}
    for name, value in fields.items():
        most = _LONGEST // 8 if name in known else room
        if not isinstance(value, str | bytes):
            short[name] = value
            continue
        short[name] = value[-most:] if name == "exc_text" else value[:most]
        room -= 0 if name in known else len(short[name])
    return short


def _relay_warnings() -> None:
    import warnings

    show = warnings.showwarning

    def relayed(  # noqa: PLR0917 - the signature is the library's
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if file is not None:
            show(message, category, filename, lineno, file, line)
            return
        import logging

        text = warnings.formatwarning(message, category, filename, lineno, line)
        logging.getLogger("py.warnings").warning("%s", text)

    warnings.showwarning = relayed
