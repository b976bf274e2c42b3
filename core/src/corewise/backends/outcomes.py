"""What became of a limit, backend by backend."""

from __future__ import annotations

import enum

import attrs

from corewise.backends.contract import Backend, Scope
from corewise.backends.plan import Demand

__all__ = ["Outcome", "OutcomeState", "judge"]


class OutcomeState(enum.Enum):
    """How a backend stands to the limit that was asked."""

    APPLIED = "applied"
    """The limit holds, or will when the library builds its pool."""
    NOT_LOADED = "not loaded yet"
    """The library is not in this process; the limit is applied as soon as it is."""
    LEFT_ALONE = "left alone"
    """Settings or a variable of the user say so."""
    TOO_LATE = "too late"
    """The library had built its pool before."""
    FAILED = "failed"
    """The library refused, or raised."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of the limit of one backend.

    Attributes:
        backend: Its name.
        state: How it stands.
        asked: Threads that were asked; None where it is left alone.
        threads: Threads that the library would use now in the calling thread, read back from it; None where it is
            not loaded or cannot say.
        reason: Why it is left alone, too late or failed; or what limits it nevertheless, or cannot limit it.
    """

    backend: str
    state: OutcomeState
    asked: int | None = None
    threads: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        count = "" if self.threads is None else f", {self.threads} threads"
        return f"{self.backend}: {self.state.value}{count}{self.reason and f' ({self.reason})'}"


def judge(
    backend: Backend, asked: Demand, live: int | None, *, loaded: bool, wanted: int | None, error: str | None
) -> tuple[OutcomeState, str]:
    """Return how a backend stands, and why where that has to be told.

    Args:
        backend: The backend.
        asked: What the settings ask of it.
        live: Its live number of threads; None where it is not known.
        loaded: Whether it is in this process.
        wanted: What all limits together ask of the calling thread; None without a limit.
        error: What it raised when it was limited.
    """
    if error is not None:
        return OutcomeState.FAILED, error
    if asked.threads is None:
        return OutcomeState.LEFT_ALONE, asked.reason
    if not loaded:
        return OutcomeState.NOT_LOADED, asked.reason
    if backend.scope is Scope.ONCE and live not in {None, asked.threads}:
        return OutcomeState.TOO_LATE, f"its pool was built before, {asked.threads} were asked"
    wanted = wanted or asked.threads
    if live is not None and live > wanted:
        return OutcomeState.FAILED, f"{wanted} were asked of this thread"
    return OutcomeState.APPLIED, asked.reason
