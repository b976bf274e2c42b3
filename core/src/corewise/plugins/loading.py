"""Import the plugins that were found and register them, each on its own: one that is not right harms no other."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs
import pluggy

from corewise.plugins.calling import Callers, Hooks
from corewise.plugins.declaring import declare_hooks
from corewise.plugins.discovery import FoundPlugin, load_object
from corewise.plugins.offers import Offer, collect
from corewise.plugins.records import Key, PluginLedger, PluginState, describe
from corewise.plugins.registering import register
from corewise.plugins.triage import triage
from corewise.settings.model import PluginSettings

__all__ = ["Loaded", "load"]


@attrs.frozen
class Loaded:
    """The plugins after loading.

    Attributes:
        ledger: The record of each plugin that was found.
        hooks: The hooks of those in use.
        offers: What all of them offer, in order.
    """

    ledger: PluginLedger
    hooks: Hooks
    offers: tuple[Offer, ...]


def load(found: Collection[FoundPlugin], settings: PluginSettings) -> Loaded:
    """Import the plugins that the settings allow, register them and collect what they offer."""
    ledger = PluginLedger(triage(found, settings))
    # Standard output belongs to the program's own results; a plugin that prints must not get among them.
    with contextlib.redirect_stdout(sys.stderr):
        plugins = dict(_imported(ledger))
        manager = declare_hooks(ledger, plugins)
        for key in reversed(ledger.active()):
            # pluggy calls last what was registered first: strangers come before the built-in ones, sorted by name.
            if (problem := register(manager, key[0], plugins[key])) is not None:
                ledger.fail(key, PluginState.INVALID, str(problem), problem)
        hooks = Hooks(_callers(manager, ledger, plugins), ledger, strict=settings.strict)
        return Loaded(ledger, hooks, collect(hooks, ledger))


def _imported(ledger: PluginLedger) -> Iterator[tuple[Key, Any]]:
    for key in ledger.active():
        module = ledger[key].module
        try:
            yield key, load_object(module)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too: no plugin ends the program
            ledger.fail(key, PluginState.BROKEN, f"importing {module} raised {describe(error)}", error)


def _callers(manager: pluggy.PluginManager, ledger: PluginLedger, plugins: Mapping[Key, Any]) -> Callers:
    keys = {id(plugins[key]): key for key in ledger.active()}
    others = set(manager.get_plugins())
    callers = {}
    for hook, caller in vars(manager.hook).items():
        if not isinstance(caller, pluggy.HookCaller) or not caller.has_spec():
            continue
        implementers = dict.fromkeys(id(one.plugin) for one in reversed(caller.get_hookimpls()))
        callers[hook] = tuple(
            (keys[one], manager.subset_hook_caller(hook, others - {plugins[keys[one]]})) for one in implementers
        )
    for key in keys.values():
        hooks = tuple(sorted(hook for hook, entries in callers.items() if key in dict(entries)))
        ledger.change(key, hooks=hooks)
    return callers
