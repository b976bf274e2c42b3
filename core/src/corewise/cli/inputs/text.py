"""Inputs made of lines: text, JSONL and CSV files, and standard input."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from corewise.cli.inputs.contract import Digest, digest_of_file, estimate_lines
from corewise.cli.inputs.lines import decoded_lines
from corewise.cli.usage import UsageError

__all__ = ["CsvFile", "JsonLinesFile", "StandardInput", "TextFile"]


@attrs.define
class TextFile:
    """Every line of a file is an item, without its newline. A blank line is an item too.

    Attributes:
        path: The file.
        encoding: Of its text.
        resumable: Whether it can be read a second time; a pipe or a terminal is opened once and no more.
    """

    path: Path
    encoding: str = "utf-8"
    resumable: bool = True
    _digest: Digest | None = attrs.field(default=None, init=False)

    def lines(self) -> Generator[str, None, None]:
        """Yield the lines with their newlines."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        with file:
            yield from decoded_lines(file, str(self.path), self.encoding)

    def items(self) -> Generator[Any, None, None]:
        """Yield the lines."""
        with closing(self.lines()) as lines:
            for line in lines:
                yield line.rstrip("\r\n")

    def identity(self) -> Mapping[str, Any]:
        """Return the digest of the file and how it is read."""
        self._digest = digest_of_file(self.path)
        return {"kind": type(self).__name__, "encoding": self.encoding, "sha256": self._digest.sha256}

    def total(self) -> int | None:
        """Return the number of lines: counted if the file was read for its identity, estimated otherwise."""
        if not self.resumable:
            return None
        return estimate_lines(self.path) if self._digest is None else self._digest.lines


class JsonLinesFile(TextFile):
    """Every line of a file is JSON and gives one item; blank lines are passed over."""

    def items(self) -> Generator[Any, None, None]:
        """Yield what each line holds."""
        with closing(self.lines()) as lines:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    yield self._parsed(number, line)

    def _parsed(self, number: int, line: str) -> Any:
        try:
            return json.loads(line)
        except json.JSONDecodeError as error:
            why = f"{error.msg} at column {error.colno}"
            raise UsageError(f"{self.path} line {number}: not JSON: {why}, got {_short(line)}") from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{self.path} line {number}: cannot be read as JSON: {error}") from error


class CsvFile(TextFile):
    """Every row of a CSV file is a dict of text by the names in its first row.

    A blank line is passed over, but where there is one column: there it is a row whose value is empty.
    """

    def items(self) -> Generator[Any, None, None]:
        """Yield the rows after the first."""
        csv.field_size_limit(2**31 - 1)
        with closing(self.lines()) as lines:
            yield from self._rows(csv.reader(lines, strict=True))

    def _rows(self, reader: Any) -> Generator[dict[str, str], None, None]:
        try:
            if (names := next(reader, None)) is None:
                return
            if not names or len(set(names)) < len(names):
                raise UsageError(f"{self.path} line 1: the first row must name each column once, got {names}")
            for row in reader:
                if row or len(names) == 1:
                    values = row or [""]
                    self._check_width(names, values, reader.line_num)
                    yield dict(zip(names, values, strict=True))
        except csv.Error as error:
            raise UsageError(f"{self.path} line {reader.line_num}: not CSV: {error}") from error

    def _check_width(self, names: list[str], row: list[str], line: int) -> None:
        if len(row) != len(names):
            raise UsageError(f"{self.path} line {line}: {len(names)} columns are named, got {len(row)}: {row!r:.80}")

    def total(self) -> int | None:
        """Return the number of lines but the first."""
        lines = super().total()
        return lines and lines - 1


@attrs.frozen
class StandardInput:
    """Every line of standard input is an item.

    Attributes:
        encoding: Of its text.
    """

    encoding: str = "utf-8"
    resumable: bool = attrs.field(default=False, init=False)

    def items(self) -> Generator[Any, None, None]:
        """Yield the lines, each as soon as it arrives."""
        # Where a shell closed it there was none when Python began.
        if sys.stdin is None:
            raise UsageError("standard input: closed; name a file as INPUT")
        for line in decoded_lines(sys.stdin.buffer, "standard input", self.encoding):
            yield line.rstrip("\r\n")

    def identity(self) -> Mapping[str, Any]:
        """Return that it is standard input, which can be told from nothing."""
        return {"kind": "StandardInput"}

    def total(self) -> int | None:
        """Return None: nobody knows."""
        return None


def _short(line: str, width: int = 60) -> str:
    text = line.strip()
    return repr(text if len(text) <= width else f"{text[:width]}…")
