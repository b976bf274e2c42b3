"""One place decides how parallel a Python program is.

Every public name is imported when it is first used, so ``import corewise`` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; the module typing would cost more than all the rest
if TYPE_CHECKING:
    from typing import Any

    from corewise import testing as testing
    from corewise.actor_pool import ActorPool as ActorPool
    from corewise.actor_pool import actors as actors
    from corewise.aio.decorator import batched as batched
    from corewise.aio.function import BatchedFunction as BatchedFunction
    from corewise.aio.multiprocess import multiprocess as multiprocess
    from corewise.aio.options import BatchOptions as BatchOptions
    from corewise.aio.parallel_ops import ParallelOps as ParallelOps
    from corewise.aio.stats import BatchReport as BatchReport
    from corewise.aio.stats import BatchStats as BatchStats
    from corewise.aio.wrapper import autobatch as autobatch
    from corewise.cpus import effective_cpu_count as effective_cpu_count
    from corewise.errors import BackendWarning as BackendWarning
    from corewise.errors import BatchResultError as BatchResultError
    from corewise.errors import BrokenPluginError as BrokenPluginError
    from corewise.errors import ClosedError as ClosedError
    from corewise.errors import CorewiseError as CorewiseError
    from corewise.errors import CorewiseWarning as CorewiseWarning
    from corewise.errors import ExecutorUnavailableError as ExecutorUnavailableError
    from corewise.errors import ExecutorWarning as ExecutorWarning
    from corewise.errors import ItemTimeoutError as ItemTimeoutError
    from corewise.errors import PluginError as PluginError
    from corewise.errors import PluginWarning as PluginWarning
    from corewise.errors import QueueFullError as QueueFullError
    from corewise.errors import RemoteError as RemoteError
    from corewise.errors import RemoteTraceback as RemoteTraceback
    from corewise.errors import SettingsError as SettingsError
    from corewise.errors import SettingsWarning as SettingsWarning
    from corewise.errors import UnknownPluginError as UnknownPluginError
    from corewise.errors import WorkerDiedError as WorkerDiedError
    from corewise.executors.facade import Executor as Executor
    from corewise.executors.failure import Failure as Failure
    from corewise.executors.gil import is_free_threaded as is_free_threaded
    from corewise.executors.share import Shared as Shared
    from corewise.limiting import backend_outcomes as backend_outcomes
    from corewise.limiting import child_env as child_env
    from corewise.limiting import limit as limit
    from corewise.plugins.marker import hookimpl as hookimpl
    from corewise.running import executor as executor
    from corewise.running import map as map  # noqa: A004 - corewise.map is the field's word for it
    from corewise.running import share as share
    from corewise.runtime import configure as configure
    from corewise.runtime import ensure_parallel_init as ensure_parallel_init
    from corewise.runtime import get_parallel_config as get_parallel_config
    from corewise.runtime import reset as reset
    from corewise.settings.app import App as App
    from corewise.settings.model import BackendSettings as BackendSettings
    from corewise.settings.model import ParallelConfig as ParallelConfig
    from corewise.settings.model import ParallelSettings as ParallelSettings
    from corewise.settings.model import PluginSettings as PluginSettings

__version__ = "0.1.0"

_HOMES = {
    "corewise.aio.decorator": ("batched",),
    "corewise.aio.function": ("BatchedFunction",),
    "corewise.aio.multiprocess": ("multiprocess",),
    "corewise.aio.options": ("BatchOptions",),
    "corewise.aio.parallel_ops": ("ParallelOps",),
    "corewise.aio.stats": ("BatchReport", "BatchStats"),
    "corewise.aio.wrapper": ("autobatch",),
    "corewise.errors": (
        "BackendWarning",
        "BatchResultError",
        "BrokenPluginError",
        "ClosedError",
        "CorewiseError",
        "CorewiseWarning",
        "ExecutorUnavailableError",
        "ExecutorWarning",
        "ItemTimeoutError",
        "PluginError",
        "PluginWarning",
        "QueueFullError",
        "RemoteError",
        "RemoteTraceback",
        "SettingsError",
        "SettingsWarning",
        "UnknownPluginError",
        "WorkerDiedError",
    ),
    "corewise.limiting": ("backend_outcomes", "child_env", "limit"),
    "corewise.plugins.marker": ("hookimpl",),
    "corewise.actor_pool": ("ActorPool", "actors"),
    "corewise.cpus": ("effective_cpu_count",),
    "corewise.executors.facade": ("Executor",),
    "corewise.executors.failure": ("Failure",),
    "corewise.executors.gil": ("is_free_threaded",),
    "corewise.executors.share": ("Shared",),
    "corewise.running": ("executor", "map", "share"),
    "corewise.runtime": ("configure", "ensure_parallel_init", "get_parallel_config", "reset"),
    "corewise.settings.app": ("App",),
    "corewise.settings.model": ("BackendSettings", "ParallelConfig", "ParallelSettings", "PluginSettings"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 - names, collected


def __getattr__(name: str) -> Any:
    import importlib

    if (home := _HOME_OF.get(name)) is not None:
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"corewise.{name}")
    raise AttributeError(f"module 'corewise' has no attribute {name!r}")


_SUBMODULES = frozenset({"testing"})


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF, *_SUBMODULES})
