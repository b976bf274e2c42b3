"""What doctor reports before it judges: CPUs, Python, settings, executors, backends and plugins, as plain values."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from typing import Any

from corewise.backends.contract import Backend
from corewise.backends.exports import set_by_user
from corewise.backends.outcomes import Outcome
from corewise.cpus import cpu_count_report
from corewise.executors.contract import ExecutorFactory
from corewise.executors.gil import gil_culprit, is_free_threaded
from corewise.plugins.host import PluginHost
from corewise.plugins.records import PluginRecord
from corewise.runtime import Runtime
from corewise.settings.describe import describe
from corewise.settings.model import ParallelConfig

__all__ = ["gather", "plugin_facts", "setting_facts"]


def gather(runtime: Runtime) -> dict[str, Any]:
    """Return the facts by section; nothing in them but text, numbers, booleans, None, lists and dicts.

    Args:
        runtime: What holds in this process.
    """
    config, host = runtime.config, runtime.host
    outcomes = {outcome.backend: outcome for outcome in runtime.limits.outcomes}
    return {
        "cpus": cpu_facts(),
        "python": python_facts(),
        "settings": setting_facts(config),
        "executors": [_executor(factory, config) for factory in host.executors().values()],
        "backends": [_backend(backend, outcomes[name]) for name, backend in host.backends().items()],
        "plugins": plugin_facts(host),
        "unused_tables": list(runtime.unused_tables),
    }


def cpu_facts() -> dict[str, Any]:
    """Return how many CPUs this process may use, and what every source says."""
    report = cpu_count_report()
    return {
        "effective": report.value,
        "source": report.source,
        "candidates": dict(report.candidates),
        "ignored": list(report.ignored),
    }


def python_facts() -> dict[str, Any]:
    """Return which Python this is, and whether its threads run at the same time."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "platform": sysconfig.get_platform(),
        "free_threaded_build": is_free_threaded(),
        "gil": not is_free_threaded(require_active=True),
        "gil_reason": gil_culprit(),
    }


def setting_facts(config: ParallelConfig) -> list[dict[str, Any]]:
    """Return every setting with its value and origin."""
    return [{"key": row.key, "value": _plain(row.value), "origin": str(row.origin)} for row in describe(config)]


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(member) for member in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _executor(factory: ExecutorFactory, config: ParallelConfig) -> dict[str, Any]:
    why_not = factory.unavailable()
    chosen = factory.name == config.executor
    return {
        "name": factory.name,
        "summary": factory.summary,
        "available": why_not is None,
        "chosen": chosen,
        "reason": why_not or (config.executor_reason if chosen else config.passed_over.get(factory.name, "")),
    }


def _backend(backend: Backend, outcome: Outcome) -> dict[str, Any]:
    loaded = backend.loaded()
    return {
        "name": backend.name,
        "summary": backend.summary,
        "loaded": loaded,
        "state": outcome.state.value,
        "asked": outcome.asked,
        "threads": outcome.threads,
        "reason": outcome.reason,
        "variable": _variable(backend),
        "scope": backend.scope.value,
        "info": {key: _plain(value) for key, value in backend.info().items()} if loaded else {},
    }


def _variable(backend: Backend) -> str:
    name = set_by_user(os.environ, backend.variables)
    return "" if name is None else f"{name}={os.environ[name]}"


def plugin_facts(host: PluginHost) -> list[dict[str, Any]]:
    """Return the record of every plugin that was found."""
    return [_plugin(record) for record in host.records]


def _plugin(record: PluginRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "state": record.state.value,
        "distribution": record.distribution,
        "version": record.version,
        "module": record.module,
        "backends": list(record.backends),
        "executors": list(record.executors),
        "checks": list(record.checks),
        "hooks": list(record.hooks),
        "error": record.detail,
    }
