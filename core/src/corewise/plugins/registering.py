"""Register one plugin with pluggy, or say in one line why not."""

from __future__ import annotations

import inspect
from typing import Any

import pluggy

from corewise.plugins.records import one_line
from corewise.spelling import did_you_mean

__all__ = ["new_manager", "register"]


def new_manager() -> pluggy.PluginManager:
    """Return a manager that knows the hooks of corewise."""
    from corewise.plugins import hookspecs

    manager = pluggy.PluginManager("corewise")
    manager.add_hookspecs(hookspecs)
    return manager


def register(manager: pluggy.PluginManager, name: str, plugin: Any, *, verify: bool = True) -> Exception | None:
    """Register a plugin, all of it or nothing.

    Args:
        manager: Where it is registered.
        name: Name of its entry point.
        plugin: What the entry point names.
        verify: Whether every hook that it implements must be known to the manager.

    Returns:
        What is wrong with it, None where it was registered.
    """
    try:
        manager.register(plugin, name)
        if verify:
            _verify(manager, plugin)
    except Exception as error:  # noqa: BLE001 - looking at a strange object may raise anything
        # pluggy leaves a plugin half registered where its second hook is the wrong one.
        if manager.has_plugin(name):
            manager.unregister(name=name)
        if isinstance(error, pluggy.PluginValidationError):
            return pluggy.PluginValidationError(plugin, one_line(str(error)))
        return error
    return None


def _verify(manager: pluggy.PluginManager, plugin: Any) -> None:
    callers = manager.get_hookcallers(plugin) or []
    unmarked = _unmarked(manager, plugin)
    if unmarked:
        raise pluggy.PluginValidationError(plugin, f"{unmarked[0]} is not marked with @corewise.hookimpl")
    if not callers:
        raise pluggy.PluginValidationError(plugin, "it implements no hook; mark a function with @corewise.hookimpl")
    known = {hook for hook, caller in vars(manager.hook).items() if not hook.startswith("_") and caller.has_spec()}
    for caller in callers:
        implementations = [one for one in caller.get_hookimpls() if one.plugin is plugin]
        if any(one.wrapper or one.hookwrapper for one in implementations):
            raise pluggy.PluginValidationError(plugin, f"its {caller.name} is a wrapper; hooks of corewise have none")
        if not caller.has_spec() and not all(one.optionalhook for one in implementations):
            hint = did_you_mean(caller.name, known) or (
                "; mark it with @corewise.hookimpl(optionalhook=True) if it belongs to a plugin that may be absent"
            )
            raise pluggy.PluginValidationError(plugin, f"unknown hook {caller.name!r}{hint}")


def _unmarked(manager: pluggy.PluginManager, plugin: Any) -> list[str]:
    """Return the hooks that the plugin itself defines and forgot to mark: pluggy passes over them without a word."""
    home = getattr(plugin, "__name__", None)
    return [
        name
        for name, caller in vars(manager.hook).items()
        if not name.startswith("_")
        and caller.has_spec()
        and inspect.isfunction(function := inspect.getattr_static(plugin, name, None))
        and function.__module__ == home
        and manager.parse_hookimpl_opts(plugin, name) is None
    ]
