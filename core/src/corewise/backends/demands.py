"""What the settings ask of the backends in this process, and the variables that bring it to libraries yet to come."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

import attrs

from corewise.backends.contract import Backend
from corewise.backends.exports import Exports, set_by_user
from corewise.backends.plan import Demand, demand, variables, withheld
from corewise.settings.model import ParallelConfig

__all__ = ["Demands"]


class Demands:
    """What is asked of each backend: decided when the limits begin, and once more when a library arrives after that.

    Until then the user may have set a variable of his own, which leaves the library alone.

    Not safe for several threads by itself: the owner holds a lock.

    Args:
        backends: The backends, by name; the order decides who names a variable first.
        config: The resolved settings of this process.
        environ: The environment of this process.
    """

    def __init__(
        self, backends: Mapping[str, Backend], config: ParallelConfig, environ: MutableMapping[str, str]
    ) -> None:
        self._backends = backends
        self._config = config
        self._environ = environ
        self._exports = Exports(environ)
        self._decided: dict[str, Demand] | None = None
        self._withheld: dict[str, str] = {}
        self._met: set[str] = set()

    @property
    def begun(self) -> bool:
        """Whether the settings hold in this process."""
        return self._decided is not None

    def begin(self) -> dict[str, int]:
        """Decide, set the variables, and return the threads of each backend that is to be limited."""
        decided = {name: self._now(name) for name in self._backends}
        self._withheld = withheld(self._backends.values(), self._config, self._environ)
        self._exports.set(self._exported())
        self._met = {name for name, backend in self._backends.items() if backend.loaded()}
        self._decided = decided
        return {name: asked.threads for name, asked in decided.items() if asked.threads is not None}

    def end(self) -> None:
        """Bring the variables back to what they were."""
        self._decided = None
        self._exports.remove()

    def claimed(self) -> list[str]:
        """Return the backends whose library has arrived since this was asked last, and that are the user's by now.

        Variables that were set for them, or that they would obey, are removed.
        """
        arrived = [name for name, backend in self._backends.items() if name not in self._met and backend.loaded()]
        self._met.update(arrived)
        claimed = {name: asked for name in arrived if (asked := self._now(name)).threads is None}
        if self._decided is not None:
            claimed = {name: asked for name, asked in claimed.items() if self._decided[name].threads is not None}
            if claimed:
                self._decided |= claimed
                self._withheld |= withheld(self._backends.values(), self._config, self._environ)
                self._exports.remove(keep=self._exported())
        return list(claimed)

    def of(self, backend: Backend) -> Demand:
        """Return what is asked of a backend, with what a reader has to know of it."""
        if self._decided is None:
            return Demand(None, "corewise has not limited this process")
        # Of a library that is not here yet, what would be asked if it came now.
        asked = self._decided[backend.name] if backend.name in self._met else self._now(backend.name)
        if asked.threads is None:
            return attrs.evolve(asked, reason=asked.reason + self._obeyed(backend))
        names = [name for name in backend.env(asked.threads) if name in self._withheld and name not in self._environ]
        reasons = [f"{name} is not set here: {self._withheld[name]} would follow it" for name in names]
        return attrs.evolve(asked, reason="; ".join(reasons))

    def _now(self, name: str) -> Demand:
        return demand(self._backends[name], self._config, self._environ)

    def _exported(self) -> dict[str, str]:
        wanted = variables(self._backends.values(), self._config, self._environ)
        return {name: value for name, value in wanted.items() if name not in self._withheld}

    def _obeyed(self, backend: Backend) -> str:
        """Say which variable of another backend limits one that is left alone, here or in child processes."""
        if set_by_user(self._environ, backend.env(1)) is not None:
            return ""
        children = variables(self._backends.values(), self._config, self._environ)
        for name in backend.reads:
            if set_by_user(self._environ, [name]) is not None:
                return ""
            if name in self._environ:
                return f"; it follows {name}={self._environ[name]}, which corewise has set"
            if name in children:
                return f"; child processes get {name}, which it follows"
        return ""
