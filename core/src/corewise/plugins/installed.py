"""The distributions that are installed, and their entry points, read without ``importlib.metadata``.

Importing that module (it imports parsers of mail, URLs and zip archives) would take a fifth of the time that a program
needs before it can start its first worker. Of distributions in directories nothing is needed but two small files of
each. Where there may be others, in a zip archive or known to a finder of its own, that module is asked all the same.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder

__all__ = ["Distribution", "distributions", "entry_points"]

_FOLDERS = (".dist-info", ".egg-info")


class Distribution:
    """A distribution on ``sys.path``.

    Args:
        name: Its name as the place where it was found spells it, empty where that does not tell.
        read: Returns the text of one of its files; raises where it cannot be read.
    """

    __slots__ = ("_name", "_read")

    def __init__(self, name: str, read: Callable[[str], str | None]) -> None:
        self._name = name
        self._read = read

    def text(self, *files: str) -> str:
        """Return the text of the first of these files that can be read; empty where none can."""
        for file in files:
            try:
                text = self._read(file)
            except (OSError, UnicodeError):
                continue
            if text:
                return text
        return ""

    @property
    def key(self) -> str:
        """Its name, normalized as the packaging specifications (Names and normalization) have it."""
        return _normalized(self._name or self.header("name") or "unnamed")

    def header(self, name: str) -> str:
        """Return a field of its core metadata, a name in lower case; empty where there is none."""
        for line in self.text("METADATA", "PKG-INFO").splitlines():
            if not line:
                break  # behind an empty line is the description
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return ""


def distributions() -> Iterator[Distribution]:
    """Yield every distribution, in the order of ``sys.path``."""
    try:
        yield from [*_in_directories()]
    except NotADirectoryError:
        yield from _of_importlib()


def _in_directories() -> Iterator[Distribution]:
    """Yield the distributions in the directories of ``sys.path``.

    Raises:
        NotADirectoryError: There may be distributions elsewhere.
    """
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        raise NotADirectoryError
    for place in dict.fromkeys(sys.path):
        try:
            children = os.listdir(place or ".")  # noqa: PTH208 - names are all that is needed of most
        except NotADirectoryError:
            raise
        except OSError:
            continue
        for child in children:
            low = child.lower()
            if low.endswith(_FOLDERS):
                name = child.rpartition(".")[0]
            elif low == "egg-info" and place.lower().endswith(".egg"):
                name = os.path.basename(place).rpartition(".")[0]  # noqa: PTH119 - a str
            else:
                continue
            yield Distribution(name.partition("-")[0], _reader(os.path.join(place, child)))  # noqa: PTH118 - the same


def _reader(folder: str) -> Callable[[str], str]:
    def read(file: str) -> str:
        with open(f"{folder}{os.sep}{file}", encoding="utf-8") as stream:  # noqa: PTH123 - read for each distribution
            return stream.read()

    return read


def _of_importlib() -> Iterator[Distribution]:
    from importlib.metadata import distributions as every

    for distribution in every():
        yield Distribution("", distribution.read_text)


def entry_points(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of the entry points of a group in the text of an ``entry_points.txt``.

    Raises:
        ValueError: A line of the group is none.
    """
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section == group and line and not line.startswith("#"):
            name, separator, value = line.partition("=")
            if not separator:
                raise ValueError(f"got the line {line!r}, without =")
            yield name.strip(), value.strip()


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
