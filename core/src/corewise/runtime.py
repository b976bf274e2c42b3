"""The one object that ties settings, plugins, backends and executors together for a process.

``_lock`` guards ``_configuration`` and ``_runtime``. It is reentrant: resolving settings imports plugins,
and a plugin may ask for the settings. ``_initialized`` is written under it and read without, so that initialising again
costs next to nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import attrs

from corewise.backends.limits import BackendLimits
from corewise.cpus import cpu_count_report
from corewise.errors import SettingsWarning, warn
from corewise.executors.gil import is_free_threaded
from corewise.executors.worker import Worker, current_worker, enter_process
from corewise.opening import KeptExecutors, Opener
from corewise.plugins.host import PluginHost, load_plugins
from corewise.settings.app import COREWISE, App
from corewise.settings.arguments import calling_line
from corewise.settings.model import ParallelConfig
from corewise.settings.resolve import resolve
from corewise.settings.sources import read
from corewise.settings.structure import plugin_settings, structure, unused_tables

__all__ = [
    "Configuration",
    "Runtime",
    "configure",
    "configure_from",
    "current_runtime",
    "ensure_parallel_init",
    "get_parallel_config",
    "reset",
    "start_worker",
    "stop_worker",
]


@attrs.frozen
class Configuration:
    """What a program configured, before anything is read.

    Attributes:
        app: Whose names the settings go by.
        overrides: Settings given as arguments.
        caller: File and line of the call, or where else they were given.
    """

    app: App = COREWISE
    overrides: Mapping[str, Any] = attrs.field(factory=dict)
    caller: str = attrs.field(default="", eq=False)


@attrs.frozen
class Runtime:
    """Settings and plugins of a process.

    Attributes:
        config: The resolved settings.
        host: The plugins.
        configuration: What they were resolved from.
        unused_tables: A line for each table of the settings that no plugin in use reads.
        limits: The limits of the backends in this process.
        opener: Makes executors.
        kept: The executors that ``map`` keeps.
    """

    config: ParallelConfig
    host: PluginHost
    configuration: Configuration
    unused_tables: tuple[str, ...] = ()
    limits: BackendLimits = attrs.field(init=False, repr=False, eq=False)

    opener: Opener = attrs.field(init=False, repr=False, eq=False)
    kept: KeptExecutors = attrs.field(init=False, repr=False, eq=False, factory=KeptExecutors)

    @limits.default
    def _limits(self) -> BackendLimits:
        return BackendLimits(self.host.backends(), self.config)

    @opener.default
    def _opener(self) -> Opener:
        return Opener(self.host, self.limits, start_worker, stop_worker)

    @classmethod
    def resolved(cls, configuration: Configuration) -> Runtime:
        """Read every source and load the plugins.

        Raises:
            SettingsError: With every problem of every source.
            BrokenPluginError: A plugin is broken, and ``plugins.strict`` is set.
        """
        raw = read(app=configuration.app, overrides=configuration.overrides, caller=configuration.caller)
        host = load_plugins(plugin_settings(raw))
        idle = [record.name for record in host.records if not record.active]
        asked, origins = structure(
            raw,
            backends={name: backend.settings for name, backend in host.backends().items()},
            executors={name: factory.settings for name, factory in host.executors().items()},
            known_backends=idle,
            known_executors=idle,
        )
        config = resolve(
            asked,
            origins,
            cpus=cpu_count_report(),
            executors=host.executors(),
            free_threaded=is_free_threaded(require_active=True),
        )
        unused = unused_tables(raw, backends=host.backends(), executors=host.executors())
        return cls(config, host, configuration, unused)

    @classmethod
    def inherited(cls, config: ParallelConfig) -> Runtime:
        """Take over what the parent of this worker process resolved; no file is read."""
        return cls(config, load_plugins(config.plugins, warn=False), Configuration())


class _Thread(threading.local):
    """What a thread knows of itself.

    Attributes:
        initialized: What stood for the limits of the process when they were made to hold in this thread, too.
    """

    initialized: object = ()


_lock = threading.RLock()
_thread = _Thread()
_configuration: Configuration | None = None
_runtime: Runtime | None = None
_initialized: object = None
"""What stands for the limits of this process, where they hold."""


def configure(*, app: App | None = None, **settings: Any) -> None:
    """Give settings in code, for the whole process, before the first use.

    The first configuration wins: a library that is used by an application does not change what the application
    chose. Nothing is read or limited yet.

    Args:
        app: Whose names the environment and the files go by; default corewise's own.
        **settings: Any key of the settings, as ``num_cpus=4`` or ``backends={"torch": {"threads": 2}}``.

    Warns:
        SettingsWarning: The process is configured differently already; this call changes nothing.

    Example:
        >>> import corewise
        >>> corewise.configure(num_cpus=4)
    """
    configure_from(Configuration(app or COREWISE, settings, calling_line()))


def configure_from(asked: Configuration) -> None:
    """Do what ``configure`` does, for settings that were given elsewhere than in a line of Python.

    Args:
        asked: The settings, and where they were given.
    """
    global _configuration  # noqa: PLW0603 - the one configuration of the process
    with _lock:
        if _configuration is None and _runtime is None:
            _configuration = asked
            return
        first = _configuration or _runtime.configuration  # type: ignore[union-attr]  # one of the two is there
    if first != asked:
        warn(
            f"configure: settings at {asked.caller or 'an unknown place'} are ignored: "
            f"they differ from those at {first.caller or 'an unknown place'}, which came first",
            SettingsWarning,
        )


def current_runtime() -> Runtime:
    """Return the runtime of this process, resolving the settings if nobody has."""
    global _runtime  # noqa: PLW0603 - the one runtime of the process
    runtime = _runtime
    if runtime is not None:
        return runtime
    with _lock:
        if _runtime is None:
            worker = current_worker()
            if worker is not None and worker.config is not None and not worker.in_thread:
                _runtime = Runtime.inherited(worker.config)
            else:
                _runtime = Runtime.resolved(_configuration or Configuration(caller=calling_line()))
        return _runtime


def get_parallel_config() -> ParallelConfig:
    """Return the resolved settings: in a worker those of its share of the machine.

    Raises:
        SettingsError: With every problem of every source.

    Example:
        >>> import corewise
        >>> corewise.get_parallel_config().num_cpus >= 1
        True
    """
    worker = current_worker()
    if worker is not None and worker.config is not None:
        config: ParallelConfig = worker.config
        return config
    return current_runtime().config


def ensure_parallel_init(**settings: Any) -> None:
    """Resolve the settings and limit every backend to them; does nothing where that was done before.

    May be called from any thread and any number of times: one call does it, the others wait until it is done. Of some
    libraries (torch, OpenMP) each thread has a count of its own: the first call of each thread limits that, too.

    Args:
        **settings: As for ``configure``.

    Raises:
        SettingsError: With every problem of every source.

    Warns:
        SettingsWarning: The process is configured differently already.

    Example:
        >>> import corewise
        >>> corewise.ensure_parallel_init()
    """
    global _initialized  # noqa: PLW0603 - what makes the second call cheap
    if _thread.initialized is _initialized and not settings:
        return
    if settings:
        configure(**settings)
    with _lock:
        current_runtime().limits.apply()
        _initialized = _thread.initialized = _initialized or object()


def reset() -> None:
    """Forget settings and plugins, close the executors that ``map`` keeps, and restore what was limited.

    Example:
        >>> import corewise
        >>> corewise.reset()
    """
    global _configuration, _runtime, _initialized  # noqa: PLW0603 - everything that a process has
    if (runtime := _runtime) is not None:
        runtime.kept.close()
    with _lock:
        runtime = _runtime
        _configuration = _runtime = _initialized = None
        if runtime is not None:
            runtime.limits.restore()


def start_worker(worker: Worker) -> None:
    """Make this process a worker: adopt its share of the machine and call the plugins' hooks.

    What holds here already gives way: settings of an executor whose worker it was before, on Ray, or those that a
    module resolved when it was imported.
    """
    reset()
    enter_process(worker)
    runtime = current_runtime()
    runtime.limits.apply()
    runtime.host.worker_start(worker)


def stop_worker(worker: Worker) -> None:
    """Call the plugins' hooks at the end of a worker process."""
    current_runtime().host.worker_stop(worker)


def _after_fork_in_child() -> None:
    """Replace a lock that threads of the parent may have held, and forget the executors that it kept."""
    global _lock  # noqa: PLW0603 - its holder may be a thread that the child does not have
    _lock = threading.RLock()
    if _runtime is not None:
        _runtime.kept.forget()


os.register_at_fork(after_in_child=_after_fork_in_child)
