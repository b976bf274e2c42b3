"""OpenMP runtimes: GNU's, Intel's and LLVM's. A count for each thread, and the environment for a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from corewise.backends.contract import Scope
from corewise.builtin.libraries import LibraryBackend, function
from corewise.plugins.marker import hookimpl


@attrs.frozen(kw_only=True)
class OpenMp(LibraryBackend):
    """OpenMP runtimes.

    A thread that is no worker of corewise follows ``OMP_NUM_THREADS`` as it was when the runtime was loaded: OpenMP
    has no call that limits other threads.
    """

    name: str = "openmp"
    api: str = "openmp"
    scope: Scope = Scope.THREAD
    imports: tuple[str, ...] = ("torch", "sklearn", "xgboost", "lightgbm", "faiss", "mkl")
    variables: tuple[str, ...] = ("OMP_NUM_THREADS",)
    reads: tuple[str, ...] = ("OMP_NUM_THREADS",)  # torch's backend sets it, too
    summary: str = "OpenMP runtimes (libgomp, libiomp, libomp)"

    def env(self, threads: int) -> Mapping[str, str]:
        """``OMP_NUM_THREADS``."""
        return {"OMP_NUM_THREADS": str(threads)}

    def set_threads(self, library: Any, threads: int) -> None:
        """Limit the calling thread in one runtime."""
        function(library, "omp_set_num_threads")(threads)


@hookimpl
def corewise_backends() -> list[OpenMp]:
    """Offer the backend."""
    return [OpenMp()]
