"""What could not be limited in a worker: found there, sent with its first answer, told once where results are taken."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping

import attrs
import ray

import corewise
from corewise.backends.outcomes import OutcomeState
from corewise.errors import ExecutorWarning, warn

__all__ = ["Notice", "Notices", "look"]


@attrs.frozen
class Notice:
    """What is not as asked in one worker.

    Attributes:
        node: Address of its node.
        pid: Its process.
        facts: A line for each thing, with the number that was asked, the live one, and the mend.
    """

    node: str
    pid: int
    facts: tuple[str, ...]


class Notices:
    """Tells the first notice of an executor's workers, and no other.

    ``_lock`` guards ``_waiting`` and ``_told``: the dispatcher's thread notes, and whoever takes results tells. A look
    at ``_waiting`` without it says only whether it is worth the while to take it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Notice | None = None
        self._told = False

    def note(self, notice: Notice) -> None:
        """Keep a notice until somebody who can be warned comes."""
        with self._lock:
            if not self._told and self._waiting is None:
                self._waiting = notice

    def tell(self) -> None:
        """Warn of what was noted, in the calling thread.

        Warns:
            ExecutorWarning: What a worker could not limit.
        """
        if self._waiting is None:
            return
        with self._lock:
            notice, self._waiting, self._told = self._waiting, None, True
        if notice is not None:
            warn(
                f"executor 'ray': the worker of process {notice.pid} on node {notice.node} is not as asked: "
                f"{'; '.join(notice.facts)} (other workers may be like it)",
                ExecutorWarning,
            )


def look(version: str, kept: Mapping[str, tuple[str, str]], *, limited: bool) -> Notice | None:
    """Return what is not as asked in this process; None where nothing is.

    Args:
        version: The parent's version of corewise.
        kept: Variables of the node that were left as they are: their values, and those that were asked.
        limited: Whether corewise has limited the libraries of this process, so that it knows them.
    """
    facts = (*_version(version), *_variables(kept), *(_libraries() if limited else ()))
    return Notice(ray.get_runtime_context().worker.node_ip_address, os.getpid(), facts) if facts else None


def _version(wanted: str) -> Iterator[str]:
    if corewise.__version__ != wanted:
        yield (
            f"it has corewise {corewise.__version__}, this program {wanted}: install the same version on every node, "
            "or by runtime_env of executors.ray"
        )


def _variables(kept: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for name, (found, asked) in kept.items():
        if found.isdecimal() and asked.isdecimal() and int(found) > int(asked):
            yield (
                f"{name}={found} is set on its node, {asked} was asked: unset it where `ray start` runs there, "
                "or name it in env_vars of executors.ray.runtime_env"
            )


def _libraries() -> Iterator[str]:
    for outcome in corewise.backend_outcomes():
        if outcome.state is OutcomeState.TOO_LATE:
            yield (
                f"{outcome.backend} has {outcome.threads} threads, {outcome.asked} asked: what the process ran before "
                "has built its pool; give the workers processes of their own by any runtime_env of executors.ray"
            )
        elif outcome.state is OutcomeState.FAILED:
            yield f"{outcome}; {outcome.asked} asked"
