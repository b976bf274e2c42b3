"""The count of threads that have none of their own, for backends whose count belongs to each thread."""

from __future__ import annotations

from corewise.backends.contract import Backend

__all__ = ["Fallback"]


class Fallback:
    """What a thread gets that nobody has limited.

    Some libraries (torch) change it whenever one thread is limited. So it is read before the first limit of a thread
    begins, and given back when the last one has ended.

    Not safe for several threads by itself: the owner holds a lock.

    Attributes:
        base: What the whole process is limited to; None without such a limit.
    """

    def __init__(self, backend: Backend) -> None:
        self.base: int | None = None
        self._backend = backend
        self._token: object = None
        self._base_found: int | None = None
        self._limits = 0
        self._found: int | None = None

    def begin_base(self, token: object, threads: int) -> None:
        """Begin the limit of the process: remember what is there; ``renew`` applies it."""
        self._base_found = self._found if self._limits else self._read()
        self._token, self.base = token, threads
        self._found = threads

    def begin(self) -> None:
        """Begin a limit of one thread."""
        if not self._limits:
            self._found = self._read()
        self._limits += 1

    def end(self, token: object) -> None:
        """End a limit, after what it found in its thread was given back."""
        if token is self._token:
            self._found, self._token, self.base = self._base_found, None, None
        else:
            self._limits -= 1
        if not self._limits and self._backend.loaded():
            self._backend.limit_fallback(self._found or self.base or self._backend.natural())

    def forget(self, token: object) -> bool:
        """Count a limit no more that began in a thread which a forked child does not have; not that of the process.

        Returns:
            Whether it was that of a thread.
        """
        if token is self._token:
            return False
        self._limits -= 1
        return True

    def renew(self, threads: int | None = None) -> None:
        """Apply the limit of the process.

        Args:
            threads: What threads get of a library that was loaded under their limits alone: they cannot be reached
                one by one.
        """
        if not self._backend.loaded():
            return
        if self.base is not None:
            self._backend.limit_fallback(self.base)
        elif self._limits and self._found is None:
            self._found = self._backend.fallback()
            if threads is not None:
                self._backend.limit_fallback(threads)

    def _read(self) -> int | None:
        return self._backend.fallback() if self._backend.loaded() else None
