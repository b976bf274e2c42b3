"""A mapping of a block that holds no descriptor: ``mmap.mmap`` keeps one open in older Pythons, and arrays are many."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from mmap import MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE

__all__ = ["Mapping"]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_FAILED = ctypes.c_void_p(-1).value


@lru_cache(maxsize=64)
def _array_type(size: int) -> type[ctypes.Array[ctypes.c_char]]:
    return type("Memory", (ctypes.c_char * size,), {})


class Mapping:
    """The memory of a block, mapped until this object dies.

    Args:
        fd: The memfd; it may be closed afterwards.
        private: Whether what is written stays in this process.
    """

    __slots__ = ("_address", "_munmap", "_size")

    def __init__(self, fd: int, *, private: bool) -> None:
        self._address = None
        self._size = os.fstat(fd).st_size
        self._munmap = _libc.munmap  # modules are torn down before the last mapping at the end of a program
        flags = MAP_PRIVATE if private else MAP_SHARED
        address = _libc.mmap(None, self._size, PROT_READ | PROT_WRITE, flags, fd, 0)
        if address == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, f"{os.strerror(number)}: mapping {self._size} bytes of shared memory")
        self._address = address

    def array(self) -> ctypes.Array[ctypes.c_char]:
        """Return the memory as an array that keeps it mapped, and whose end a weak reference can tell."""
        array = _array_type(self._size).from_address(self._address or 0)
        array.mapping = self  # type: ignore[attr-defined]  # a subclass of an array has attributes
        return array

    def __del__(self) -> None:
        if self._address is not None:
            self._munmap(self._address, self._size)
