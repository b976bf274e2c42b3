"""BLIS, and AMD's build of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import attrs

from corewise.backends.contract import Scope, number_from
from corewise.builtin.libraries import BLAS_IMPORTS, BLAS_VARIABLES, LibraryBackend, function
from corewise.plugins.marker import hookimpl


@attrs.frozen(kw_only=True)
class Blis(LibraryBackend):
    """BLIS. Some builds keep a count for each thread, others one for the process: each thread is limited.

    Where the process has one count, that is what threads fall back on, and it is given back when the last limit ends.
    """

    name: str = "blis"
    api: str = "blis"
    scope: Scope = Scope.THREAD
    imports: tuple[str, ...] = BLAS_IMPORTS
    variables: tuple[str, ...] = (*BLAS_VARIABLES, "BLIS_NUM_THREADS")
    reads: tuple[str, ...] = ("OMP_NUM_THREADS",)
    summary: str = "BLIS (libblis)"

    def env(self, threads: int) -> Mapping[str, str]:
        """``BLIS_NUM_THREADS``, which BLIS prefers to ``OMP_NUM_THREADS``."""
        return {"BLIS_NUM_THREADS": str(threads)}

    def natural(self) -> int:
        """The number in the first variable that BLIS reads, else 1: it starts no threads by itself."""
        return number_from(("BLIS_NUM_THREADS", "OMP_NUM_THREADS")) or 1

    def fallback(self) -> int | None:
        """The count of the process, in builds that have one."""
        return max((library.get_num_threads() for library in self._shared()), default=None)

    def limit_fallback(self, threads: int) -> None:
        """Limit the process, in builds where it has a count."""
        for library in self._shared():
            self.set_threads(library, threads)

    def _shared(self) -> list[Any]:
        return [library for library in self.each() if _one_count(library)]

    def set_threads(self, library: Any, threads: int) -> None:
        """Limit one library."""
        function(library, "bli_thread_set_num_threads")(threads)


_found_out: dict[str, bool] = {}


def _one_count(library: Any) -> bool:
    """Find out, once for each library, whether a limit in one thread is seen in another."""
    path = library.filepath
    if path not in _found_out:
        found = library.get_num_threads()
        set_threads = function(library, "bli_thread_set_num_threads")
        other = threading.Thread(target=set_threads, args=(found + 1,))
        other.start()
        other.join()
        _found_out[path] = library.get_num_threads() != found
        if _found_out[path]:
            set_threads(found)
    return _found_out[path]


@hookimpl
def corewise_backends() -> list[Blis]:
    """Offer the backend."""
    return [Blis()]
