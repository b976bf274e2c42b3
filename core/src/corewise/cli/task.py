"""What runs in a worker for each item of ``corewise map``: the user's function, and its result as a row of JSON."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from corewise.cli.jsonable import encode

__all__ = ["ItemTask", "load"]


def load(module: str, name: str, directory: str) -> Any:
    """Import ``module`` with ``directory`` first on the path and return what its dotted ``name`` names."""
    if directory not in sys.path:
        sys.path.insert(0, directory)
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    return target


class ItemTask:
    """Maps ``(index, item)`` to ``(index, row)``, the row being one line of UTF-8.

    It travels as names and imports the function where it arrives, so that workers need not share the path of the
    process that started them. Results become text in the worker: that is the dear part, and text is cheap to send.

    Attributes:
        module: Import name of the user's module.
        name: Dotted name of the function inside it.
        directory: Put first on the import path.
        keep_input: Whether the row holds the item too.
    """

    __slots__ = ("_function", "directory", "keep_input", "module", "name")

    def __init__(
        self,
        module: str,
        name: str,
        directory: str,
        keep_input: bool,
        function: Callable[[Any], Any] | None = None,
    ) -> None:
        self.module: str = module
        self.name: str = name
        self.directory: str = directory
        self.keep_input: bool = keep_input
        # Written once, always with the same value: threads that race import the same function.
        self._function = function

    def __reduce__(self) -> tuple[Any, ...]:
        return ItemTask, (self.module, self.name, self.directory, self.keep_input)

    def __call__(self, pair: tuple[int, Any]) -> tuple[int, bytes]:
        """Run the function on the item; whatever it raises is the item's failure."""
        function = self._function
        if function is None:
            function = self._function = load(self.module, self.name, self.directory)
        index, item = pair
        kept = f',"item":{encode(item)}' if self.keep_input else ""
        return index, as_line(f'{{"index":{index}{kept},"result":{encode(function(item))}}}')


def as_line(text: str) -> bytes:
    """Return a row as UTF-8 with its newline; a lone surrogate, as undecodable file names have, is written escaped."""
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:
        import json

        return f"{json.dumps(json.loads(text), separators=(',', ':'))}\n".encode()
