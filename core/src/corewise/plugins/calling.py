"""Call hooks plugin by plugin, so that one that raises harms no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from corewise.errors import BrokenPluginError, PluginWarning, warn
from corewise.plugins.records import Key, PluginLedger, PluginState, describe

__all__ = ["Hooks"]

Callers = Mapping[str, tuple[tuple[Key, Callable[..., list[Any]]], ...]]
"""By hook, what calls it in one plugin, for each plugin that implements it; in calling order."""


class Hooks:
    """The hooks of the plugins in use, to be called by name.

    A registration hook that asks for an argument ``hooks`` is given this object, and may keep it: it is how a plugin
    calls hooks of its own, those that it returned from ``corewise_hookspecs``.

    The callers never change after loading, and the ledger has its own lock; no lock is held while a plugin's code
    runs, so hooks may be called from any thread and may call hooks.
    """

    def __init__(self, callers: Callers, ledger: PluginLedger, *, strict: bool) -> None:
        self._callers = callers
        self._ledger = ledger
        self._strict = strict

    def implements(self, hook: str) -> bool:
        """Whether a plugin in use implements the hook."""
        return any(self._ledger[key].active for key, _ in self._callers.get(hook, ()))

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """Call one hook of every plugin in use.

        A plugin whose hook raises is broken from then on: a warning says so, and the others are called all the same.

        Args:
            hook: Name of the hook.
            **arguments: All the arguments that its declaration has.

        Returns:
            What the plugins returned, without those that returned None; ``tryfirst`` ones first.

        Raises:
            BrokenPluginError: A hook raised, and ``plugins.strict`` is set.
            LookupError: Neither corewise nor a plugin in use declares such a hook.
            TypeError: An argument of the declaration is missing, or one is given that it does not have.
        """
        return [result for _, results in self.each(hook, arguments) for result in results]

    def each(self, hook: str, arguments: Mapping[str, Any]) -> Iterator[tuple[Key, list[Any]]]:
        """Call one hook plugin by plugin; give the key of each one's record with what it returned."""
        for key, results, error in self.attempts(hook, arguments):
            if error is None:
                yield key, results
            else:
                self.fail(key, f"its {hook} raised {describe(error)}", error)

    def attempts(
        self, hook: str, arguments: Mapping[str, Any]
    ) -> Iterator[tuple[Key, list[Any], BaseException | None]]:
        """Call one hook plugin by plugin; give each one's key, results and exception, and record nothing."""
        if hook not in self._callers:
            raise LookupError(f"hook {hook!r} is not declared; known ones: {', '.join(sorted(self._callers))}")
        for key, caller in self._callers[hook]:
            if not self._ledger[key].active:
                continue
            try:
                results = caller(**arguments)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - SystemExit too: no plugin ends the program
                yield key, [], error
            else:
                yield key, results, None

    def fail(self, key: Key, detail: str, error: BaseException | None = None) -> None:
        """Take a plugin out of use, and say so once.

        Raises:
            BrokenPluginError: ``plugins.strict`` is set.
        """
        first = self._ledger.fail(key, PluginState.BROKEN, detail, error)
        text = f"{self._ledger[key].problem()}; see `corewise plugins`"
        if self._strict:
            raise BrokenPluginError(text) from error
        if first:
            warn(text, PluginWarning)
