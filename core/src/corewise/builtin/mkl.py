"""Intel MKL: a count for the process, and one for each thread that goes before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from corewise.backends.contract import Scope, number_from, visible_cpus
from corewise.builtin.libraries import BLAS_IMPORTS, BLAS_VARIABLES, LibraryBackend, forget_libraries, function
from corewise.plugins.marker import hookimpl


@attrs.frozen(kw_only=True)
class Mkl(LibraryBackend):
    """The MKL runtime library. One that is built into another library (torch's) is the business of that backend."""

    name: str = "mkl"
    api: str = "mkl"
    scope: Scope = Scope.THREAD
    imports: tuple[str, ...] = (*BLAS_IMPORTS, "mkl")
    variables: tuple[str, ...] = BLAS_VARIABLES
    reads: tuple[str, ...] = ("OMP_NUM_THREADS",)
    summary: str = "Intel MKL (libmkl_rt)"

    def env(self, threads: int) -> Mapping[str, str]:
        """``MKL_NUM_THREADS``, which MKL prefers to ``OMP_NUM_THREADS``."""
        return {"MKL_NUM_THREADS": str(threads)}

    def natural(self) -> int:
        """The number in the first variable that MKL reads, else one per CPU; MKL itself takes no more than cores."""
        return number_from(("MKL_NUM_THREADS", "OMP_NUM_THREADS")) or visible_cpus()

    def limit(self, threads: int) -> None:
        """Limit the calling thread. The first call makes MKL load its OpenMP runtime."""
        super().limit(threads)
        forget_libraries()

    def capture(self) -> Mapping[str, int]:
        """The calling thread's own count in each library; 0 where it has none and follows the process."""
        return {library.filepath: _own(library) for library in self.each()}

    def restore(self, found: Mapping[str, int] | None) -> None:
        """Give the calling thread its own counts back."""
        for library in self.each():
            self.set_threads(library, (found or {}).get(library.filepath, 0))

    def set_threads(self, library: Any, threads: int) -> None:
        """Limit the calling thread in one library."""
        function(library, "MKL_Set_Num_Threads_Local")(threads)

    def fallback(self) -> int | None:
        """The count of the process."""
        return max((_of_process(library) for library in self.each()), default=None)

    def limit_fallback(self, threads: int) -> None:
        """Limit the process; a thread with a count of its own keeps that."""
        for library in self.each():
            function(library, "MKL_Set_Num_Threads")(threads)


def _own(library: Any) -> int:
    local = function(library, "MKL_Set_Num_Threads_Local")
    own = local(0)  # it returns what was there, and is the only way to ask
    local(own)
    return own


def _of_process(library: Any) -> int:
    local = function(library, "MKL_Set_Num_Threads_Local")
    own = local(0)
    threads: int = library.get_num_threads()
    local(own)
    return threads


@hookimpl
def corewise_backends() -> list[Mkl]:
    """Offer the backend."""
    return [Mkl()]
