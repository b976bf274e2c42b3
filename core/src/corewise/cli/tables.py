"""Tables for people and JSON for programs, on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from corewise.cli.usage import writing

__all__ = ["print_json", "print_line", "print_table"]


def print_json(value: Any, stream: TextIO | None = None) -> None:
    """Print a value as JSON, indented; on standard output unless another stream is given."""
    stream = stream or sys.stdout
    with writing():
        json.dump(value, stream, indent=2, ensure_ascii=False, allow_nan=False)
        print(file=stream)


def print_line(text: str) -> None:
    """Print a line as it is."""
    with writing():
        print(text)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table. Nothing in it is cut off: long cells wrap on a terminal, and in a pipe lines are long.

    Args:
        title: Above the table; may be empty.
        columns: Their names.
        rows: Cells, shown as text.
    """
    table = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        # In a pipe there is no width to keep to.
        console.width = 10_000
    with writing():
        console.print(table)
