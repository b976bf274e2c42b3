"""What an input of ``corewise map`` is: items in order, an identity to resume by, and how many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs

__all__ = ["Digest", "Input", "digest_of_file", "estimate_lines"]

_BLOCK = 1 << 20


class Input(Protocol):
    """Items, in order. Reading one twice gives the same items, unless it can be read only once."""

    @property
    def resumable(self) -> bool:
        """Whether it can be read a second time."""

    def items(self) -> Generator[Any, None, None]:
        """Yield the items, reading as they are asked for. Closing the generator closes what it reads, at once.

        Raises:
            UsageError: The input is malformed; the text names the place.
        """

    def identity(self) -> Mapping[str, Any]:
        """Return what tells this input from another one, or from its own later state: names and digests."""

    def total(self) -> int | None:
        """Return about how many items there are, for the progress bar; None where counting is as dear as reading."""


@attrs.frozen
class Digest:
    """What one pass over a file told.

    Attributes:
        sha256: Digest of the bytes, as hexadecimal text.
        size: Length in bytes.
        lines: How many newlines there are.
    """

    sha256: str
    size: int
    lines: int


def digest_of_file(path: Path) -> Digest:
    """Read the file once and return its digest; one gigabyte takes about a second."""
    digest, size, lines = hashlib.sha256(), 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            lines += block.count(b"\n")
    return Digest(digest.hexdigest(), size, lines)


def estimate_lines(path: Path) -> int:
    """Return about how many lines the file has, from its size and the length of its first lines."""
    size = path.stat().st_size
    with path.open("rb") as file:
        block = file.read(_BLOCK)
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    return lines if size <= len(block) else round(size / len(block) * lines)
