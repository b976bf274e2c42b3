"""On which line of a TOML file each key stands; the parser itself does not tell.

The text was parsed before, so it is known to be valid and this needs to find only where keys and elements begin.
"""

from __future__ import annotations

import bisect
import re

__all__ = ["key_lines"]

Place = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # up to two quotes may stand right before the closing ones
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Place, int]:
    r"""Return the line, from 1, on which each key, table and array element of a valid TOML text begins.

    Args:
        text: Valid TOML.

    Returns:
        Lines by place: keys part by part, elements of arrays by index.

    Example:
        >>> key_lines('[a]\nb.c = [1,\n 2]')[("a", "b", "c", 1)]
        3
    """
    return _Scanner(text).scan()


class _Scanner:
    """Walks over a text once. Owned by one call, so it needs no lock."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._array_lengths: dict[Place, int] = {}
        self.lines: dict[Place, int] = {}

    def scan(self) -> dict[Place, int]:
        table: Place = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self.lines

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not valid TOML at character {self._at}")
        self._at = match.end()
        return match[0]

    def _mark(self, place: Place) -> None:
        self.lines.setdefault(place, bisect.bisect_left(self._line_ends, self._at) + 1)

    def _header(self) -> Place:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        start = self._at
        self._at += brackets
        place: Place = ()
        keys = self._key()
        end, self._at = self._at + brackets, start
        for position, part in enumerate(keys, 1):
            place += (part,)
            self._mark(place)
            if brackets == 2 and position == len(keys):
                self._array_lengths[place] = self._array_lengths.get(place, 0) + 1
            if place in self._array_lengths:
                place += (self._array_lengths[place] - 1,)
                self._mark(place)
        self._at = end
        return place

    def _pair(self, table: Place) -> None:
        start = self._at
        keys = self._key()
        end, self._at = self._at, start
        place = table
        for part in keys:
            place += (part,)
            self._mark(place)
        self._at = end + len("=")
        self._skip(_SPACE)
        self._value(place)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip(_SPACE)
            parts.append(_unquoted(self._skip(_STRING)) if self._peek() in "\"'" else self._skip(_BARE_KEY))
            self._skip(_SPACE)
            if self._peek() != ".":
                return parts
            self._at += len(".")

    def _value(self, place: Place) -> None:
        opening = self._peek()
        if opening == "[":
            self._members(place, "]")
        elif opening == "{":
            self._members(place, "}")
        else:
            self._skip(_STRING if opening in "\"'" else _SCALAR)

    def _members(self, place: Place, closing: str) -> None:
        self._at += len("[")
        index = 0
        self._skip(_BLANK)
        while self._peek() != closing:
            if closing == "}":
                self._pair(place)
            else:
                self._mark((*place, index))
                self._value((*place, index))
            index += 1
            self._skip(_BLANK)
            if self._peek() == ",":
                self._at += len(",")
                self._skip(_BLANK)
        self._at += len(closing)


def _unquoted(literal: str) -> str:
    import tomli

    text: str = tomli.loads(f"key = {literal}")["key"]
    return text
