"""Environment variables that limit backends: whose they are, setting them in this process, and those of a child.

A variable that corewise sets is listed, with its value, in a variable of its own, so that a process further down knows
that it is not the user's. A listed variable whose value has changed since belongs to whoever changed it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, MutableMapping

__all__ = ["MARK", "Exports", "additions", "foreign", "set_by_user"]

MARK = "_COREWISE_EXPORTED"
_BETWEEN = "\x1f"  # the separator of units: values may hold spaces


def _exported(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of this environment that corewise set, here or in a process above."""
    listed = (entry.partition("=") for entry in environ.get(MARK, "").split(_BETWEEN))
    return {name: value for name, _, value in listed if environ.get(name) == value}


def set_by_user(environ: Mapping[str, str], names: Iterable[str]) -> str | None:
    """Return the first of these variables that is set and was not set by corewise."""
    exported = _exported(environ)
    return next((name for name in names if name in environ and name not in exported), None)


def additions(environ: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return what may be set of these variables in this environment, with the list of all that corewise has set."""
    kept = {name: value for name, value in variables.items() if set_by_user(environ, [name]) is None}
    listed = {**_exported(environ), **kept}
    return kept and {**kept, MARK: _BETWEEN.join(f"{name}={value}" for name, value in listed.items())}


def foreign(environ: Mapping[str, str]) -> dict[str, str]:
    """Return this environment without what corewise set, here or in a process above."""
    own = {*_exported(environ), MARK}
    return {name: value for name, value in environ.items() if name not in own}


class Exports:
    """The variables that are set in this process, so that a library which is loaded later finds them.

    Not safe for several threads by itself: the owner holds a lock.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self.environ = environ
        self._found: dict[str, str | None] = {}
        self._set: dict[str, str] = {}

    def set(self, variables: Mapping[str, str]) -> None:
        """Set these variables, but for the user's own; remember what was there."""
        self._set = additions(self.environ, variables)
        self._found = {name: self.environ.get(name) for name in self._set}
        self.environ.update(self._set)

    def remove(self, keep: Container[str] = ()) -> None:
        """Bring back what was there; a variable that somebody else has changed since is not touched.

        Args:
            keep: Variables that stay as they are, and the list with them.
        """
        staying = {name for name in self._set if name in keep}
        for name, value in self._set.items():
            if name in staying or (staying and name == MARK) or self.environ.get(name) != value:
                continue
            found = self._found[name]
            if found is None:
                del self.environ[name]
            else:
                self.environ[name] = found
        self._set = {name: value for name, value in self._set.items() if name in staying or (staying and name == MARK)}
