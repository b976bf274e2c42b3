"""OpenBLAS: the copies that numpy and scipy bring, and any other. One count for the process and library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from corewise.backends.contract import number_from, visible_cpus
from corewise.builtin.libraries import BLAS_IMPORTS, BLAS_VARIABLES, LibraryBackend
from corewise.plugins.marker import hookimpl

# A build may put a prefix and a suffix around its names; numpy's wheels do both.
_SETTERS = tuple(
    f"{prefix}openblas_set_num_threads{suffix}" for prefix in ("", "scipy_") for suffix in ("", "64_", "_64")
)


@attrs.frozen(kw_only=True)
class OpenBlas(LibraryBackend):
    """OpenBLAS. A build on top of OpenMP has no count of its own: the backend ``openmp`` limits it."""

    name: str = "openblas"
    api: str = "openblas"
    imports: tuple[str, ...] = BLAS_IMPORTS
    variables: tuple[str, ...] = BLAS_VARIABLES
    reads: tuple[str, ...] = ("OMP_NUM_THREADS",)
    summary: str = "OpenBLAS, as in the wheels of numpy and scipy"

    def env(self, threads: int) -> Mapping[str, str]:
        """``OPENBLAS_NUM_THREADS``, which OpenBLAS prefers to ``OMP_NUM_THREADS``."""
        return {"OPENBLAS_NUM_THREADS": str(threads)}

    def natural(self) -> int:
        """The number in the first variable that OpenBLAS reads, else one per CPU."""
        return number_from(("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")) or visible_cpus()

    def each(self) -> tuple[Any, ...]:
        """The libraries with a thread pool of their own."""
        return tuple(library for library in super().each() if library.threading_layer != "openmp")

    def set_threads(self, library: Any, threads: int) -> None:
        """Limit one library."""
        next(getattr(library.dynlib, name) for name in _SETTERS if hasattr(library.dynlib, name))(threads)


@hookimpl
def corewise_backends() -> list[OpenBlas]:
    """Offer the backend."""
    return [OpenBlas()]
