"""The error for a backend or an executor that was asked for and cannot be had: what is the matter, and the mend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NoReturn

from corewise.errors import BrokenPluginError, UnknownPluginError
from corewise.plugins.records import PluginRecord, PluginState
from corewise.settings.first_party import FIRST_PARTY_BACKENDS, FIRST_PARTY_EXECUTORS
from corewise.spelling import did_you_mean

__all__ = ["Kind", "raise_missing"]

Kind = Literal["backend", "executor"]

FIRST_PARTY: Mapping[Kind, Mapping[str, str]] = {"backend": FIRST_PARTY_BACKENDS, "executor": FIRST_PARTY_EXECUTORS}
"""The distributions of this project, by what they offer."""


def raise_missing(kind: Kind, name: str, known: Collection[str], records: Iterable[PluginRecord]) -> NoReturn:
    """Raise the error that says why there is no such backend or executor.

    A plugin that could not be imported has offered nothing yet: it is meant where it bears the name.

    Raises:
        BrokenPluginError: A plugin that is broken, invalid or in conflict would offer it.
        UnknownPluginError: Any other case.
    """
    idle = [record for record in records if not record.active]
    for record in idle:
        offered = record.backends if kind == "backend" else record.executors
        if name not in {record.name, *offered}:
            continue
        if record.state is PluginState.DISABLED:
            raise UnknownPluginError(_disabled(kind, name, record))
        raise BrokenPluginError(
            f"{kind} {name!r} cannot be used: {record.problem()}; {_mend(record)}"
        ) from record.error
    hint = did_you_mean(name, known)
    if name in FIRST_PARTY[kind]:
        hint = f"; install it with `pip install {FIRST_PARTY[kind][name]}`"
    elif not hint:
        hint = f"; known ones: {', '.join(sorted(known)) or 'none'}"
    if idle:
        hint += f" (not in use: {', '.join(record.name for record in idle)}; see `corewise plugins`)"
    raise UnknownPluginError(f"no plugin offers {kind} {name!r}{hint}")


def _disabled(kind: Kind, name: str, record: PluginRecord) -> str:
    return (
        f"{kind} {name!r} cannot be used: {record} is disabled {record.detail}; take it out of that list "
        "(COREWISE_PLUGINS__DISABLE, or table plugins of the configuration; `corewise settings` says where it is set)"
    )


def _mend(record: PluginRecord) -> str:
    if record.state is PluginState.CONFLICT:
        return "see `corewise plugins`"
    return (
        f"reinstall it with `pip install --force-reinstall {record.distribution}`, "
        f"or add {record.name!r} to plugins.disable"
    )
