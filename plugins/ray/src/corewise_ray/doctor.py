"""What doctor says of Ray. Never starts a cluster, and never waits long for one."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from corewise.plugins.checks import CheckContext, Finding
from corewise_ray.settings import RaySettings

__all__ = ["check"]

SETTING = "executors.ray.address"
PATIENCE_SECONDS = 2.0
"""How long a cluster may take to answer."""


def check(context: CheckContext) -> Iterable[Finding]:
    """Say whether Ray can be used, and what is known of the cluster."""
    from importlib.metadata import version

    from corewise_ray.plugin import unavailable

    wanted = context.config.executor == "ray"
    if why := unavailable():
        yield Finding("ray", "error" if wanted else "note", why)
        return
    yield Finding("ray", "note", f"Ray {version('ray')} is installed")
    ray: Any = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        yield from _active(ray)
        return
    settings = context.config.executors.get("ray")
    chosen = settings.address if isinstance(settings, RaySettings) else ""
    if chosen:
        yield from _configured(chosen, SETTING, wanted=wanted)
    else:
        yield from _configured(os.environ.get("RAY_ADDRESS", ""), "RAY_ADDRESS", wanted=wanted)


def _active(ray: Any) -> Iterator[Finding]:
    facts: list[tuple[str, list[Any], dict[str, float]]] = []

    def ask() -> None:
        facts.append((ray.get_runtime_context().gcs_address, ray.nodes(), ray.cluster_resources()))

    thread = threading.Thread(target=ask, name="corewise-ray-doctor", daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    if not facts:
        message = f"this process has joined a cluster that does not answer within {PATIENCE_SECONDS:g} seconds"
        yield Finding("ray", "warning", message, "look at `ray status` on its head node")
        return
    address, nodes, resources = facts[0]
    alive = sum(node["Alive"] for node in nodes)
    amounts = ", ".join(f"{amount:g} {name}" for name, amount in sorted(resources.items()) if ":" not in name)
    count = "1 node" if alive == 1 else f"{alive} nodes"
    yield Finding("ray", "note", f"this process has joined the cluster at {address}: {count} with {amounts}")


def _configured(address: str, source: str, *, wanted: bool) -> Iterator[Finding]:
    if address in ("", "auto", "local"):
        place = {"auto": "the cluster of this machine is joined"}.get(address, "a local cluster is started")
        yield Finding("ray", "note", f"Ray is not active here; with executor = 'ray' {place}")
        return
    why = _within_patience(lambda: _refusal(address))
    if why is None:
        of = "" if source == SETTING else f" ({source})"
        yield Finding("ray", "note", f"Ray is not active here; something answers at {address}{of}")
        return
    yield Finding(
        "ray",
        "error" if wanted else "warning",
        f"{source}: nothing answers at {address!r}: {why}",
        f"start the cluster with `ray start --head`, or correct {source}",
    )


def _refusal(address: str) -> str | None:
    """Return why nobody can be reached there; None where somebody can."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isdecimal()):
        return "it is no HOST:PORT"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_SECONDS).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return None


def _within_patience(ask: Callable[[], str | None]) -> str | None:
    """Return the answer; looking up a host's name takes no time limit of its own."""
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), name="corewise-ray-doctor", daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return answers[0] if answers else f"no answer within {PATIENCE_SECONDS:g} seconds"
