"""Log records on their way from the workers to the parent's logging: they travel with the answer of each task."""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Mapping

__all__ = ["collect", "collected", "emit", "levels"]

MOST_RECORDS = 10_000
"""A worker keeps the newest so many until its next answer."""


def levels() -> dict[str, int]:
    """Return the level of each logger of this process that has one of its own; the root's name is empty."""
    found = {"": logging.getLogger().level}
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level != logging.NOTSET:
            found[name] = logger.level
    return found


def collect(parent_levels: Mapping[str, int]) -> None:
    """Let this process, a worker, log as its parent does and keep the records for the next answer."""
    root = logging.getLogger()
    if _collector not in root.handlers:
        root.addHandler(_collector)
    for name, level in parent_levels.items():
        logging.getLogger(name or None).setLevel(level)


def collected() -> list[logging.LogRecord] | None:
    """Take the records that were kept; None where there are none."""
    if not _records:
        return None
    return [_records.popleft() for _ in range(len(_records))]


def emit(records: list[logging.LogRecord]) -> None:
    """Log the records of a worker in this process."""
    for record in records:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


class _Collector(logging.Handler):
    """Keeps each record in a form that can be pickled. ``deque`` needs no lock for what is done to it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record with its text made: arguments and tracebacks may not travel."""
        kept = copy.copy(record)
        kept.msg = self.format(record)
        kept.args = kept.exc_info = kept.exc_text = kept.stack_info = None
        _records.append(kept)


_records: deque[logging.LogRecord] = deque(maxlen=MOST_RECORDS)
_collector = _Collector()
