"""The cluster of this process: joined or started by the first executor, left by the last, never taken from others.

``_lock`` guards all that changes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

import ray
from ray._private import ray_constants

from corewise.errors import ExecutorUnavailableError, ExecutorWarning, warn
from corewise_ray.settings import RaySettings

__all__ = ["grows", "join", "largest_node", "leave", "nodes", "session"]

_lock = threading.Lock()
_holders = 0
_session: str | None = None
"""Which connection to Ray was made here; None where it was made by others."""
_local = False
"""Whether that is to a cluster that was started here too."""
_left = threading.Event()
"""Set when the connection that was made here is not needed any more."""


def join(settings: RaySettings, num_cpus: int) -> None:
    """Make sure that this process has joined a cluster; each call is to be paired with one of ``leave``.

    Args:
        settings: Which cluster.
        num_cpus: CPUs of a cluster that is started here.

    Raises:
        ExecutorUnavailableError: The cluster cannot be joined or started, and why.

    Warns:
        ExecutorWarning: The program has joined another cluster than the settings name; that one is used.
    """
    global _holders, _left, _local, _session  # noqa: PLW0603 - a process has one connection to Ray
    with _lock:
        if not ray.is_initialized():
            _left.set()  # a thread may wait for the end of one that others have ended
            _left = threading.Event()
            address = settings.address or os.environ.get("RAY_ADDRESS") or "local"
            _in_lasting_thread(partial(_initialize, settings, address, num_cpus), _left)
            _local = address == "local"
            _session = session()
        elif _holders == 0 or _session is None:
            _compare(settings.address)
        _holders += 1


def leave() -> None:
    """End the connection after the last executor, if it was made here and is still the same."""
    global _holders, _session  # noqa: PLW0603 - a process has one connection to Ray
    with _lock:
        _holders -= 1
        if _holders == 0:
            ours = _session is not None and session() == _session
            _session = None
            if ours:
                ray.shutdown()
            _left.set()


def nodes() -> list[dict[str, float]]:
    """Return the resources of each node that lives."""
    listed: Callable[[], list[dict[str, Any]]] = ray.nodes
    return [node["Resources"] for node in listed() if node["Alive"]]


def largest_node(resource: str) -> float:
    """Return the most of a resource that one node has; 0 where none has it yet."""
    return max((node.get(resource, 0.0) for node in nodes()), default=0.0)


def grows() -> bool:
    """Say whether the cluster may get larger nodes; nobody adds one to a cluster that was started here."""
    with _lock:
        return not (_local and _session is not None and _session == session())


def session() -> str | None:
    """Return what tells this connection to Ray from those before and after it; None where there is none."""
    if not ray.is_initialized():
        return None
    try:
        context = ray.get_runtime_context()
        return f"{context.gcs_address} {context.get_job_id()}"
    except Exception:  # noqa: BLE001 - another thread ends it just now, and Ray says so in several ways
        return None


def _compare(wanted: str) -> None:
    found = ray.get_runtime_context().gcs_address
    if wanted not in ("", "auto", "local", found):
        warn(
            f"executor 'ray': this program has joined the cluster at {found} already, so that one is used; "
            f"executors.ray.address names {wanted}",
            ExecutorWarning,
        )


def _in_lasting_thread(act: Callable[[], None], left: threading.Event) -> None:
    """Act in a thread that lasts until the connection is left: the main one, or one of its own.

    Ray has its processes killed with their parent, which for Linux is the thread that started them (``man 2
    PR_SET_PDEATHSIG``): a local cluster that a thread starts would end with it.
    """
    if threading.current_thread() is threading.main_thread():
        act()
        return
    done: Future[None] = Future()

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            done.set_exception(error)
        else:
            done.set_result(None)
            left.wait()

    threading.Thread(target=run, name="corewise-ray-cluster", daemon=True).start()
    done.result()


def _initialize(settings: RaySettings, address: str, num_cpus: int) -> None:
    options: dict[str, Any] = {"address": address}
    if settings.namespace:
        options["namespace"] = settings.namespace
    if address == "local":
        options["num_cpus"] = num_cpus
        options["include_dashboard"] = False
    options.update(_thawed(settings.init))
    try:
        with _no_copy_of_environment() if address == "local" else contextlib.nullcontext():
            ray.init(**options)
    except Exception as error:
        raise ExecutorUnavailableError(_explained(address, error)) from error


@contextlib.contextmanager
def _no_copy_of_environment() -> Iterator[None]:
    """Let workers on this machine use the environment of a program that was started by ``uv run``.

    Ray would start each of them by ``uv run`` in a copy of the working directory. uv then installs a project of that
    directory into the environment anew: from the copy, which Ray deletes. What the user chose by the variable holds.
    """
    name = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
    chosen = getattr(ray_constants, name, None)
    if chosen is None or name in os.environ:
        yield
        return
    setattr(ray_constants, name, False)
    try:
        yield
    finally:
        setattr(ray_constants, name, chosen)


def _thawed(value: Any) -> Any:
    """Return mappings and sequences of settings as Ray checks them: as dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: _thawed(part) for key, part in value.items()}
    return [_thawed(part) for part in value] if isinstance(value, list | tuple) else value


def _explained(address: str, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if address == "local":
        return f"executor 'ray': a local cluster cannot be started: {text}; see executors.ray.init"
    return (
        f"executor 'ray': the cluster at {address!r} cannot be joined: {text}; check executors.ray.address, "
        "`ray status` there, and, where it asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
    )
