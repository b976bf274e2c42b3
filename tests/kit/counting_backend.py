"""A backend with nothing behind it but a number, to test the bookkeeping of limits by itself."""

import threading

import attrs

from corewise.backends.contract import Backend, Scope

__all__ = ["Counting"]


@attrs.frozen(kw_only=True, eq=False)
class Counting(Backend):
    """Keeps its count for the process, or for each thread, as its scope says."""

    name: str = "counting"
    scope: Scope = Scope.PROCESS
    state: dict = attrs.field(factory=lambda: {"live": 7, "loaded": True})
    local: threading.local = attrs.field(factory=threading.local)

    __eq__ = object.__eq__  # two of them are two libraries; attrs would compare what they share with all backends
    __hash__ = object.__hash__

    def loaded(self):
        return self.state["loaded"]

    def env(self, threads):
        return {"COUNTING_NUM_THREADS": str(threads)}

    def limit(self, threads):
        if self.scope is Scope.THREAD:
            self.local.live = threads
        else:
            self.state["live"] = threads

    def threads(self):
        return getattr(self.local, "live", self.state["live"])

    def natural(self):
        return 7
