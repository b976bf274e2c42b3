"""Calling backends so that one which fails is reported, and harms no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from corewise.backends.contract import Backend
from corewise.backends.counts import Count, count_of
from corewise.backends.imports import logger
from corewise.backends.outcomes import Outcome, judge
from corewise.backends.plan import Demand

__all__ = ["Attempts"]


class Attempts:
    """The counts of the backends, and what each raised last.

    Not safe for several threads by itself: the owner holds a lock.

    Args:
        backends: The backends, by name.

    Attributes:
        counts: The count of each, by name.
    """

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self.counts: dict[str, Count] = {name: count_of(backend) for name, backend in backends.items()}
        self._errors: dict[str, str] = {}

    def attempt(self, name: str, action: Callable[..., None], *args: object, **options: object) -> None:
        """Do something with a backend; what it raises is kept for its outcome."""
        try:
            action(*args, **options)
        except Exception as error:  # noqa: BLE001 - see the class
            self._errors[name] = f"{type(error).__name__}: {error}"
            logger.debug("backend %s failed", name, exc_info=True)
        else:
            self._errors.pop(name, None)

    def live(self, backend: Backend) -> int | None:
        """Return the live number of threads; None where it cannot be had."""
        try:
            return backend.threads()
        except Exception as error:  # noqa: BLE001 - see the class
            self._errors.setdefault(backend.name, f"{type(error).__name__}: {error}")
            return None

    def outcome(self, backend: Backend, asked: Demand) -> Outcome:
        """Return what became of the limit of a backend, as seen from the calling thread."""
        name, loaded = backend.name, backend.loaded()
        live = self.live(backend) if loaded else None
        wanted, error = self.counts[name].wanted, self._errors.get(name)
        state, reason = judge(backend, asked, live, loaded=loaded, wanted=wanted, error=error)
        return Outcome(backend=name, state=state, asked=asked.threads, threads=live, reason=reason)
