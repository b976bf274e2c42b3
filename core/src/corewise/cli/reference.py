"""The reference page of the command line, made from its help; and the command that writes it.

python -m corewise.cli.reference --write docs/reference
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from corewise.cli.app import app

__all__ = ["reference_page"]

_EXIT_CODES = """
## Exit codes

| code | meaning |
|---|---|
| 0 | everything was done, nothing was found |
| 1 | items failed, or `doctor` found a warning or an error |
| 2 | the command, its input or the settings are wrong: one line on standard error says what, where and how to mend it |
| 130 | interrupted by Ctrl-C; 143: by SIGTERM |
| 141 | the reader of standard output went away |
"""


def reference_page() -> str:
    """Return the page as Markdown."""
    text = app.generate_docs(output_format="markdown")
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(lines).rstrip() + "\n" + _EXIT_CODES


def _main(arguments: Sequence[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser(prog="python -m corewise.cli.reference", description="Print or write the page.")
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help="write cli.md there")
    directory = parser.parse_args(arguments).write
    if directory is None:
        sys.stdout.write(reference_page())
    else:
        (directory / "cli.md").write_text(reference_page(), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1:])
