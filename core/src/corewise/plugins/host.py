"""The plugin host: the plugins of a process, with one typed method per hook."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from corewise import errors
from corewise.backends.contract import Backend
from corewise.errors import BrokenPluginError, PluginWarning
from corewise.executors.contract import ExecutorFactory
from corewise.executors.worker import Worker
from corewise.plugins.checks import Check
from corewise.plugins.discovery import FoundPlugin, find_plugins
from corewise.plugins.loading import Loaded, load
from corewise.plugins.lookup import raise_missing
from corewise.plugins.offers import Offer
from corewise.plugins.records import PluginRecord, one_line
from corewise.plugins.triage import unknown_names
from corewise.settings.model import PluginSettings

__all__ = ["PluginHost", "load_plugins"]


def load_plugins(
    settings: PluginSettings, *, entry_points: Collection[FoundPlugin] | None = None, warn: bool = True
) -> PluginHost:
    """Find the plugins, import those that the settings allow and collect what they offer.

    Args:
        settings: Which plugins are not to be imported, and whether one that is not right is an error.
        entry_points: The plugins; by default all that are installed.
        warn: Whether one ``PluginWarning`` lists everything that is not right.

    Returns:
        The host of these plugins.

    Raises:
        BrokenPluginError: ``settings.strict`` is set and a plugin is broken, invalid or in conflict.

    Example:
        >>> host = load_plugins(PluginSettings(), entry_points=())
        >>> host.records
        ()
    """
    found = tuple(find_plugins() if entry_points is None else entry_points)
    host = PluginHost(found, load(found, settings), unknown_names(found, settings))
    failed = [record for record in host.records if record.problem()]
    if settings.strict and failed:
        raise BrokenPluginError(_listed([record.problem() for record in failed])) from failed[0].error
    if warn and host.problems:
        errors.warn(_listed(host.problems), PluginWarning)
    return host


def _listed(problems: Collection[str]) -> str:
    head = "1 plugin problem" if len(problems) == 1 else f"{len(problems)} plugin problems"
    return "\n  ".join([f"{head}; see `corewise plugins`:", *problems])


class PluginHost:
    """The plugins of a process. Made by ``load_plugins``.

    Every method may be called from any thread: what was loaded never changes, and the lock of the ledger guards the
    records, which change where a hook raises: its plugin is broken from then on, offers nothing and is not called.

    Attributes:
        entry_points: The plugins that were found; give them to ``load_plugins`` in a worker to save the search.
    """

    def __init__(self, entry_points: tuple[FoundPlugin, ...], loaded: Loaded, unknown: Collection[str]) -> None:
        self.entry_points = entry_points
        self._ledger = loaded.ledger
        self._hooks = loaded.hooks
        self._offers = loaded.offers
        self._unknown = tuple(unknown)

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """A record of each plugin that was found: built-in ones first, the others by name."""
        return self._ledger.records()

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is not right, one line each: plugins out of use, and names that no plugin has."""
        return (*filter(None, (record.problem() for record in self.records)), *self._unknown)

    def backends(self) -> Mapping[str, Backend]:
        """Return the backends of the plugins in use, by name."""
        return self._offered("backends")

    def executors(self) -> Mapping[str, ExecutorFactory]:
        """Return the executors of the plugins in use, by name."""
        return self._offered("executors")

    def checks(self) -> tuple[Check, ...]:
        """Return the checks of the plugins in use."""
        return tuple(offer.value for offer in self._in_use("checks"))

    def backend(self, name: str) -> Backend:
        """Return one backend.

        Args:
            name: What its plugin calls it.

        Raises:
            BrokenPluginError: Its plugin is broken, invalid or in conflict; the original error is the cause.
            UnknownPluginError: No plugin in use offers it; the message has close matches or the mend.
        """
        found = self.backends()
        if name not in found:
            raise_missing("backend", name, found, self.records)
        return found[name]

    def executor(self, name: str) -> ExecutorFactory:
        """Return the factory of one executor.

        Args:
            name: What its plugin calls it.

        Raises:
            BrokenPluginError: Its plugin is broken, invalid or in conflict; the original error is the cause.
            UnknownPluginError: No plugin in use offers it; the message has close matches or the mend.
        """
        found = self.executors()
        if name not in found:
            raise_missing("executor", name, found, self.records)
        return found[name]

    def worker_env(self, worker: Worker) -> dict[str, str]:
        """Return the variables that plugins set for a worker process which has not started yet.

        Where two plugins set one variable to different values, the one called first wins, and a warning says so.
        """
        environment: dict[str, str] = {}
        owners: dict[str, PluginRecord] = {}
        for key, results in self._hooks.each("corewise_worker_env", {"worker": worker}):
            for variables in results:
                if (wrong := _wrong_environment(variables)) is not None:
                    self._hooks.fail(key, wrong)
                    break
                for variable, value in variables.items():
                    owner = owners.setdefault(variable, self._ledger[key])
                    if environment.setdefault(variable, value) != value:
                        _warn_of_clash(variable, (owner, environment[variable]), (self._ledger[key], value))
        return environment

    def worker_start(self, worker: Worker) -> None:
        """Call the plugins' hooks in a worker, before its first task."""
        self._hooks.call("corewise_worker_start", worker=worker)

    def worker_stop(self, worker: Worker) -> None:
        """Call the plugins' hooks in a worker, after its last task."""
        self._hooks.call("corewise_worker_stop", worker=worker)

    def implements(self, hook: str) -> bool:
        """Whether a plugin in use implements the hook."""
        return self._hooks.implements(hook)

    def _offered(self, kind: str) -> dict[str, Any]:
        return {offer.name: offer.value for offer in self._in_use(kind)}

    def _in_use(self, kind: str) -> list[Offer]:
        return [offer for offer in self._offers if offer.kind == kind and self._ledger[offer.key].active]


def _wrong_environment(variables: Any) -> str | None:
    if not isinstance(variables, Mapping):
        got = type(variables).__name__
    else:
        pairs = (f"{name!r}: {value!r}" for name, value in variables.items() if {type(name), type(value)} != {str})
        if (got := next(pairs, "")) == "":
            return None
    return f"its corewise_worker_env must return a mapping of str to str, and has {one_line(got)}"


def _warn_of_clash(variable: str, kept: tuple[PluginRecord, str], dropped: tuple[PluginRecord, str]) -> None:
    errors.warn(
        f"{kept[0]} sets {variable}={kept[1]!r} for a worker and {dropped[0]} sets it to {dropped[1]!r}; "
        "the first one is used; disable one of them in plugins.disable",
        PluginWarning,
    )
