"""The checks that corewise itself brings to doctor."""

from __future__ import annotations

from collections.abc import Iterator

from corewise.plugins.checks import Check, CheckContext, Finding
from corewise.settings.model import ParallelConfig
from corewise.settings.resolve import share

__all__ = ["CHECKS"]

SEVERITY = {"too late": "warning", "failed": "error"}
MEND = {
    "too late": "call corewise.ensure_parallel_init() before the library is first used",
    "failed": "look at the error; backends.NAME.enabled = false leaves the library alone",
}


def _limits(context: CheckContext) -> Iterator[Finding]:
    """Find limits that do not hold."""
    for backend in context.facts["backends"]:
        state = backend["state"]
        if state in SEVERITY:
            message = f"{backend['name']}: the limit of {backend['asked']} threads is {state}: {backend['reason']}"
            yield Finding("limits", SEVERITY[state], message, MEND[state])  # type: ignore[arg-type]  # one of the levels


def _budget(context: CheckContext) -> Iterator[Finding]:
    """Find explicit settings by which workers would use more threads than there are CPUs."""
    config = context.config
    worker = share(config, 0, config.num_batch_jobs, config.executor) if config.num_batch_jobs > 1 else config
    backend_threads = max(worker.num_backend_threads, 1)
    total = config.num_batch_jobs * worker.num_threads * backend_threads
    if total > config.num_cpus:
        yield Finding(
            "budget",
            "warning",
            f"{config.num_batch_jobs} workers x {worker.num_threads} threads x {backend_threads} backend threads "
            f"= {total}, and there are {config.num_cpus} CPUs: {_asked(config)}",
            "lower what was asked, or leave it to its default",
        )


def _backends(context: CheckContext) -> Iterator[Finding]:
    """Find backends that were given more threads by name than there are CPUs."""
    config = context.config
    for name, settings in config.backends.items():
        if settings.enabled and settings.threads > config.num_cpus:
            key = f"backends.{name}.threads"
            yield Finding(
                "budget",
                "warning",
                f"{key} = {settings.threads} by {config.origins[key]}, and there are {config.num_cpus} CPUs",
                "lower it, or leave it to num_backend_threads",
            )


def _variables(context: CheckContext) -> Iterator[Finding]:
    """Find variables of the user that give libraries more threads than there are CPUs."""
    cpus = context.config.num_cpus
    libraries: dict[str, list[str]] = {}
    for backend in context.facts["backends"]:
        _, _, value = backend["variable"].partition("=")
        if value.isdecimal() and int(value) > cpus:
            libraries.setdefault(backend["variable"], []).append(backend["name"])
    for variable, names in libraries.items():
        yield Finding(
            "budget",
            "warning",
            f"{variable} is set by the user, there are {cpus} CPUs, and corewise leaves {', '.join(names)} alone",
            "lower it, or unset it and use backends.NAME.threads",
        )


def _asked(config: ParallelConfig) -> str:
    keys = ("num_cpus", "num_batch_jobs", "num_threads", "num_backend_threads")
    given = [key for key in keys if config.origins[key].kind not in ("default", "worker")]
    return ", ".join(f"{key} = {getattr(config, key)} by {config.origins[key]}" for key in given)


def _tables(context: CheckContext) -> Iterator[Finding]:
    """Find tables that no plugin reads."""
    for line in context.facts["unused_tables"]:
        yield Finding("settings", "note", line, "install or enable the plugin, or remove the table")


CHECKS = (
    Check(name="limits", run=_limits),
    Check(name="budget", run=_budget),
    Check(name="budget", run=_backends),
    Check(name="budget", run=_variables),
    Check(name="settings", run=_tables),
)
