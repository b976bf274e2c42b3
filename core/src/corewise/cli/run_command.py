"""``corewise run``: a program under the limits."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated, Never

from cyclopts import Parameter

import corewise
from corewise.cli.streams import NoOutput
from corewise.cli.usage import UsageError

__all__ = ["run_program"]


def run_program(*command: Annotated[str, Parameter(allow_leading_hyphen=True, name="PROGRAM")]) -> Never:
    """Run a program, in any language, with the threads of its libraries limited to the settings.

    ``corewise run PROGRAM ARGUMENTS``: the program takes the place of this command, so that its output, signals and
    exit code are its own, and so is everything that stands behind its name. Variables that are set already are passed
    on as they are. A program whose name begins with a hyphen stands behind ``--``.

    Args:
        command: The program and its arguments.
    """
    if not command:
        raise UsageError("run: no program was named; write: corewise run -- PROGRAM ARGUMENTS")
    path = shutil.which(command[0])
    if path is None:
        raise UsageError(f"run: {command[0]}: no such program is on PATH, or it may not be executed")
    environment = corewise.child_env()
    if isinstance(sys.stdout, NoOutput):
        os.set_inheritable(1, False)  # the program finds it closed, as this command did
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(path, command, environment)  # noqa: S606 - running the program that was named is the purpose
