"""A record of each plugin that was found: what became of it, and why."""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterable
from typing import Any

import attrs

__all__ = ["PluginLedger", "PluginRecord", "PluginState"]

BUILTIN = "corewise"
"""The distribution whose plugins are the built-in ones."""


class PluginState(enum.StrEnum):
    """What became of a plugin."""

    ACTIVE = "active"
    """It is used."""
    DISABLED = "disabled"
    """The settings disable it; it was never imported."""
    BROKEN = "broken"
    """Importing it, or one of its hooks, raised."""
    INVALID = "invalid"
    """It does not fulfil the contract: an unknown hook, a wrong signature, a wrong result."""
    CONFLICT = "conflict"
    """Another plugin has the same name or offers something of the same name; neither is used."""


@attrs.frozen(kw_only=True)
class PluginRecord:
    """One plugin, by its entry point.

    Attributes:
        name: Name of the entry point; what ``plugins.disable`` calls it.
        module: What the entry point names.
        distribution: Name of the distribution that brings it.
        version: Version of that distribution.
        state: What became of it.
        detail: Why, in one line; empty while it is active.
        error: The exception behind ``detail``, None where there is none.
        backends: Names of the backends that it offers.
        executors: Names of the executors that it offers.
        checks: Names of the checks that it offers.
        hooks: Names of the hooks that it implements.
    """

    name: str
    module: str
    distribution: str
    version: str
    state: PluginState = PluginState.ACTIVE
    detail: str = ""
    error: BaseException | None = attrs.field(default=None, eq=False)
    backends: tuple[str, ...] = ()
    executors: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Whether it is used."""
        return self.state is PluginState.ACTIVE

    @property
    def builtin(self) -> bool:
        """Whether corewise itself brings it."""
        return self.distribution == BUILTIN

    @property
    def source(self) -> str:
        """Distribution and version, as error messages name them."""
        return f"{self.distribution} {self.version}".rstrip()

    def __str__(self) -> str:
        return f"plugin {self.name!r} ({self.source})"

    def problem(self) -> str:
        """Return one line that says what is not right, empty where all is."""
        if self.state in {PluginState.ACTIVE, PluginState.DISABLED}:
            return ""
        return f"{self} is {self.state}: {self.detail}"


Key = tuple[str, str]
"""Name and distribution: what no two records share."""


class PluginLedger:
    """The records of one plugin host, in order; they change when a hook raises.

    ``_lock`` guards every change of ``_records``. Readers take one look at a mapping that is replaced, never changed.
    """

    def __init__(self, records: Iterable[PluginRecord]) -> None:
        self._lock = threading.Lock()
        self._records: dict[Key, PluginRecord] = {(one.name, one.distribution): one for one in records}

    def __getitem__(self, key: Key) -> PluginRecord:
        return self._records[key]

    def records(self) -> tuple[PluginRecord, ...]:
        """Return all records as they are now."""
        return tuple(self._records.values())

    def active(self) -> tuple[Key, ...]:
        """Return the keys of the active plugins, in order."""
        return tuple(key for key, record in self._records.items() if record.active)

    def change(self, key: Key, **changes: Any) -> None:
        """Replace one record by one with these changes."""
        with self._lock:
            self._records = {**self._records, key: attrs.evolve(self._records[key], **changes)}

    def fail(self, key: Key, state: PluginState, detail: str, error: BaseException | None = None) -> bool:
        """Take a plugin out of use, and return whether it was in use until now; the first reason stays."""
        with self._lock:
            record = self._records[key]
            if record.active:
                failed = attrs.evolve(record, state=state, detail=one_line(detail), error=error)
                self._records = {**self._records, key: failed}
            return record.active


def one_line(text: str) -> str:
    """Return the text with every run of white space as one blank."""
    return " ".join(text.split())


def describe(error: BaseException) -> str:
    """Return class and message of an exception in one line; also where its message cannot be had."""
    try:
        message = one_line(str(error))
    except Exception:  # noqa: BLE001 - a plugin's exception may fail to print itself
        message = ""
    name = type(error).__name__
    return f"{name}: {message}" if message else name
