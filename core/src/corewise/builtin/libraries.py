"""The shared libraries of this process that have threads of their own: found on Linux by reading the memory map.

threadpoolctl knows which library is which, its version and thread layer, and reads its count. The limit itself is set
here, by the library's own function: what threadpoolctl's ``set_num_threads`` does differs from version to version. 3.6
limits MKL for the whole process, 3.7 for the calling thread; 3.8 remembers the thread that limits OpenBLAS and ignores
all others, so that a limit of corewise would make a user's own ``threadpool_limits`` in another thread do nothing.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from corewise.backends.contract import Backend

__all__ = ["BLAS_IMPORTS", "BLAS_VARIABLES", "LibraryBackend", "forget_libraries", "function", "libraries"]

# scipy loads its library with whichever of these comes first.
BLAS_IMPORTS = ("numpy", "scipy.linalg", "scipy.special", "scipy.sparse.linalg", "scipy.integrate", "scipy.optimize")
# Whoever sets one of the two wants his own BLAS threads, whichever library serves.
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_MAPS = Path("/proc/self/maps")
_NAMES = re.compile(r" (/.*/\S*(?:openblas|mkl_rt|libblis|libgomp|libiomp|libomp)\S*\.so\S*)$", re.MULTILINE)
_CONTROLLERS = ("OpenBLASController", "BLISController", "MKLController", "OpenMPController")


@functools.cache
def _controller(path: str) -> Any:
    """Return threadpoolctl's view of one library; None where it is not what its name says."""
    import threadpoolctl

    real = Path(path).resolve()
    for controller in (getattr(threadpoolctl, name) for name in _CONTROLLERS):
        prefix = next((each for each in controller.filename_prefixes if real.name.lower().startswith(each)), None)
        if prefix is not None:
            found = controller(filepath=str(real), prefix=prefix, parent=None)
            if any(hasattr(found.dynlib, symbol) for symbol in controller.check_symbols):
                return found
    return None


def _scan() -> tuple[Any, ...]:
    if not _MAPS.exists():
        import threadpoolctl

        return tuple(threadpoolctl.ThreadpoolController().lib_controllers)
    # Walking the loader's own list would hold its lock while Python code runs: a deadlock with an import elsewhere.
    found = (_controller(path) for path in sorted(set(_NAMES.findall(_MAPS.read_text()))))
    return tuple({each.filepath: each for each in found if each is not None}.values())


def _executable_size() -> bytes:
    """Return how much executable code is mapped (``VmLib``, see proc_pid_status(5)): it changes with every library."""
    try:
        descriptor = os.open("/proc/self/status", os.O_RDONLY)
    except OSError:
        return b""
    try:
        status = os.read(descriptor, 8192)
    finally:
        os.close(descriptor)
    return status.partition(b"VmLib:")[2].partition(b"\n")[0]


# What was found, with the number of modules and the size of the code at that time. It is a fact of the process; the
# tuple is replaced as a whole, so that a thread sees all of it or nothing.
_seen: tuple[int, bytes, tuple[Any, ...]] | None = None


def libraries(api: str) -> tuple[Any, ...]:
    """Return threadpoolctl's controllers of the loaded libraries of one kind.

    It searches again where modules have been imported since, and after ``LibraryBackend.look`` saw new code.

    Args:
        api: ``openblas``, ``mkl``, ``blis`` or ``openmp``.
    """
    global _seen  # noqa: PLW0603 - see there
    seen = _seen
    if seen is None or seen[0] != len(sys.modules):
        size, found = _executable_size(), _scan()
        _seen = seen = len(sys.modules), size, found
    return tuple(each for each in seen[2] if each.internal_api == api)


def forget_libraries() -> None:
    """Search again next time: a call may have loaded a library without importing a module."""
    global _seen  # noqa: PLW0603 - see there
    _seen = None


@attrs.frozen(kw_only=True)
class LibraryBackend(Backend):
    """A backend that is a shared library, perhaps loaded more than once: numpy and scipy bring an OpenBLAS each.

    Attributes:
        api: What threadpoolctl calls it.
    """

    api: str

    @staticmethod
    def look() -> None:
        """Search again if code was mapped since; where that cannot be seen, search again in any case."""
        size = _executable_size()
        if _seen is not None and (not size or _seen[1] != size):
            forget_libraries()

    def loaded(self) -> bool:
        """Whether a library of this kind is in the process."""
        return bool(self.each())

    def threads(self) -> int | None:
        """The largest count of the libraries of this kind."""
        return max((library.get_num_threads() for library in self.each()), default=None)

    def capture(self) -> Mapping[str, int]:
        """The count of each library of this kind, by its path."""
        return {library.filepath: library.get_num_threads() for library in self.each()}

    def restore(self, found: Mapping[str, int] | None) -> None:
        """Give each library its own count back; one that was loaded later gets its natural one."""
        for library in self.each():
            self.set_threads(library, (found or {}).get(library.filepath) or self.natural())

    def limit(self, threads: int) -> None:
        """Limit every library of this kind."""
        for library in self.each():
            self.set_threads(library, threads)

    def info(self) -> Mapping[str, Any]:
        """Version, path, thread layer and count of each library."""
        return {library.filepath: library.info() for library in self.each()}

    def each(self) -> tuple[Any, ...]:
        """Return threadpoolctl's controllers of the libraries of this kind."""
        return libraries(self.api)

    def set_threads(self, library: Any, threads: int) -> None:
        """Limit one library, by its own function."""
        raise NotImplementedError


def function(library: Any, name: str) -> Callable[..., int]:
    """Return a function of a shared library."""
    found: Callable[..., int] = getattr(library.dynlib, name)
    return found
