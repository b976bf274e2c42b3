"""The built-in executor ``spawn``."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Executor

from corewise.builtin.spawn.settings import SpawnSettings
from corewise.executors.contract import ExecutorFactory, ExecutorRequest
from corewise.plugins.marker import hookimpl

__all__ = ["corewise_executors"]


def _create(request: ExecutorRequest) -> Executor:
    from corewise.builtin.spawn.pool import SpawnPool

    return SpawnPool(request)


def _unavailable() -> str | None:
    if sys.platform != "linux":
        return "it needs Linux; use executor = 'threads' or 'serial'"
    if not hasattr(os, "pidfd_open"):
        return "it needs a kernel and a Python with pidfd_open (Linux 5.3)"
    if not sys.executable:
        return "sys.executable is not set: this program embeds Python; set sys.executable to an interpreter"
    return None


@hookimpl
def corewise_executors() -> list[ExecutorFactory]:
    """Offer the executor ``spawn``."""
    return [
        ExecutorFactory(
            name="spawn",
            create=_create,
            summary="processes, started fresh; survives the death of a worker",
            settings=SpawnSettings,
            processes=True,
            starts_workers=True,
            defers=True,
            unavailable=_unavailable,
        )
    ]
