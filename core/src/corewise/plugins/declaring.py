"""Hooks that a plugin declares for other plugins to implement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pluggy

from corewise.plugins.records import Key, PluginLedger, PluginState, describe
from corewise.plugins.registering import new_manager, register

__all__ = ["declare_hooks"]


def declare_hooks(ledger: PluginLedger, plugins: Mapping[Key, Any]) -> pluggy.PluginManager:
    """Return a manager, with no plugin in it, that knows the hooks of corewise and those that plugins declare.

    Each plugin is asked through a manager of its own: registering it for good compares it with all declarations.
    """
    manager = new_manager()
    for key, plugin in plugins.items():
        try:
            for declared in _asked(key[0], plugin):
                for namespace in declared:
                    _declare(manager, key[0], namespace)
        except KeyboardInterrupt:
            raise
        except pluggy.PluginValidationError as error:
            ledger.fail(key, PluginState.INVALID, str(error), error)
        except BaseException as error:  # noqa: BLE001 - SystemExit too: no plugin ends the program
            ledger.fail(key, PluginState.BROKEN, f"its corewise_hookspecs raised {describe(error)}", error)
    return manager


def _asked(name: str, plugin: Any) -> list[Any]:
    manager = new_manager()
    if register(manager, name, plugin, verify=False) is not None:
        return []  # registering it for good finds the same, and says so
    return list(manager.hook.corewise_hookspecs())


def _declare(manager: pluggy.PluginManager, name: str, namespace: Any) -> None:
    prefix = f"corewise_{re.sub(r'[^0-9A-Za-z]', '_', name)}_"
    hooks = [hook for hook in dir(namespace) if manager.parse_hookspec_opts(namespace, hook) is not None]
    if not hooks:
        raise pluggy.PluginValidationError(
            namespace, f"its corewise_hookspecs returned {namespace!r}, which has no function marked with hookspec"
        )
    for hook in hooks:
        if not hook.startswith(prefix):
            raise pluggy.PluginValidationError(
                namespace, f"it declares hook {hook!r}; name it {prefix}… after the plugin that owns it"
            )
        if hasattr(manager.hook, hook):
            raise pluggy.PluginValidationError(namespace, f"hook {hook!r} is declared twice")
    manager.add_hookspecs(namespace)
