"""Decide which of the plugins that were found are to be imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from corewise.plugins.discovery import GROUP, FoundPlugin
from corewise.plugins.records import PluginRecord, PluginState
from corewise.settings.model import PluginSettings
from corewise.spelling import did_you_mean

__all__ = ["triage", "unknown_names"]


def triage(found: Collection[FoundPlugin], settings: PluginSettings) -> list[PluginRecord]:
    """Return a record of each plugin, active where nothing speaks against importing it.

    Of several plugins of one name none is used, as nothing says which one is meant; but a built-in one is not put out
    of use by a stranger that takes its name.
    """
    enabled = [plugin for plugin in found if not _disables(settings.disable, plugin)]
    names = Counter(plugin.name for plugin in enabled)
    records = []
    for plugin in found:
        state, detail = PluginState.ACTIVE, ""
        if _disables(settings.disable, plugin):
            state, detail = PluginState.DISABLED, f"by plugins.disable = {list(settings.disable)!r}"
        elif plugin.problem:
            state, detail = PluginState.INVALID, plugin.problem
        elif names[plugin.name] > 1 and plugin.distribution != GROUP:
            state, detail = PluginState.CONFLICT, _rivals(plugin, enabled)
        records.append(_record(plugin, state, detail))
    return records


def unknown_names(found: Iterable[FoundPlugin], settings: PluginSettings) -> list[str]:
    """Return one line for each name in ``plugins.disable`` that no plugin has."""
    names = {plugin.name for plugin in found}
    return [
        f"plugins.disable names {name!r}, and no such plugin is installed{did_you_mean(name, names)}"
        for name in settings.disable
        if name != "*" and name not in names
    ]


def _disables(names: Collection[str], plugin: FoundPlugin) -> bool:
    return plugin.name in names or ("*" in names and plugin.distribution != GROUP)


def _record(plugin: FoundPlugin, state: PluginState, detail: str) -> PluginRecord:
    return PluginRecord(
        name=plugin.name,
        module=plugin.module,
        distribution=plugin.distribution,
        version=plugin.version,
        state=state,
        detail=detail,
    )


def _rivals(plugin: FoundPlugin, enabled: Iterable[FoundPlugin]) -> str:
    claims = [f"{one.distribution} {one.version}".rstrip() for one in enabled if one.name == plugin.name]
    return f"{len(claims)} distributions bring a plugin of this name: {', '.join(claims)}; uninstall all but one"
