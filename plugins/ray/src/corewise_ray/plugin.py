"""The hooks. Ray is imported when an executor is made, not before."""

from __future__ import annotations

import importlib.util
from concurrent.futures import Executor

import corewise
from corewise.executors.contract import ExecutorFactory, ExecutorRequest
from corewise.plugins.checks import Check
from corewise_ray.settings import RaySettings

__all__ = ["corewise_checks", "corewise_executors", "unavailable"]


def unavailable() -> str | None:
    """Return why Ray cannot be used on this Python; None where it can."""
    # A directory that happens to be called ray is a namespace package, which has no origin.
    spec = importlib.util.find_spec("ray")
    if spec is not None and spec.origin is not None:
        return None
    if corewise.is_free_threaded():
        return (
            "Ray has no release for free-threaded Python; "
            'set executor = "threads", or run a Python with a GIL and pip install "corewise-ray[ray]"'
        )
    return 'Ray is not installed; pip install "corewise-ray[ray]"'


def _create(request: ExecutorRequest) -> Executor:
    from corewise_ray.executor import RayExecutor

    return RayExecutor(request)


@corewise.hookimpl
def corewise_executors() -> list[ExecutorFactory]:
    """Offer ``ray``."""
    return [
        ExecutorFactory(
            name="ray",
            create=_create,
            summary="tasks on a Ray cluster, or on a local one",
            settings=RaySettings,
            processes=True,
            remote=True,
            starts_workers=True,
            defers=True,
            unavailable=unavailable,
        )
    ]


@corewise.hookimpl
def corewise_checks() -> list[Check]:
    """Offer the facts of Ray to ``corewise doctor``."""
    from corewise_ray.doctor import check  # which needs sockets, as a program that starts a pool does not

    return [Check(name="ray", run=check)]
