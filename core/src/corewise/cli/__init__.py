"""The command line: the only place that draws tables and reads arguments."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the name of the program; those of this process unless given.

    Returns:
        The exit code: 0, 1 for findings or failed items, 2 for a command that cannot be carried out, 130 for Ctrl-C.

    Example:
        >>> main(["--version"])
        0.1.0
        0
    """
    from corewise.cli.app import run
    from corewise.cli.usage import ExitCode

    code = run(arguments)
    if arguments is None and code in {ExitCode.INTERRUPTED, ExitCode.TERMINATED}:
        _leave_now(code)
    return code


def _leave_now(code: int) -> None:
    """End the process where items still run: the interpreter would wait for them, and nobody else does.

    Threads end with the process, and worker processes when they see that it is gone.
    """
    import os
    import sys
    import threading

    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
