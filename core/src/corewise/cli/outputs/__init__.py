"""Outputs of ``corewise map``: standard output, and files that appear whole or not at all."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from corewise.cli.claims import Claim
from corewise.cli.outputs.contract import Output
from corewise.cli.outputs.file import FileOutput
from corewise.cli.outputs.parts import PartFile
from corewise.cli.outputs.paths import ErrorsFile, OutputPaths
from corewise.cli.outputs.stream import StreamOutput, claim_standard_output
from corewise.cli.paths import mode_of
from corewise.cli.usage import UsageError

__all__ = ["Output", "Target"]

_STANDARD_OUTPUT = Path("/dev/stdout")
"""The file to which it was sent, where it was sent to one."""


class Target:
    """Where the command line wants rows and failures to go.

    Args:
        output: A path; None or ``-`` for standard output.
        errors: Where records of failures go, if it was said.

    Raises:
        UsageError: Rows cannot be written there.
    """

    def __init__(self, output: str | None, errors: Path | None) -> None:
        self._errors = None if errors is None else ErrorsFile.named(errors)
        self._device: Path | None = None
        self._paths: OutputPaths | None = None
        if output is not None and output != "-":
            path = Path(output)
            mode = mode_of(path)
            if mode is None or stat.S_ISREG(mode):
                self._paths = OutputPaths.of(path, errors)
            elif stat.S_ISDIR(mode):
                raise UsageError(f"{path}: a directory; name a file in it")
            else:
                self._device = path

    def claims(self) -> tuple[Claim, ...]:
        """Return every file that the run writes."""
        if self._paths is not None:
            return self._paths.claims()
        rows = () if self._device else (Claim("standard output", _STANDARD_OUTPUT, "send the rows elsewhere"),)
        return (*rows, *(self._errors.claims() if self._errors else ()))

    def refuse_strangers(self, *, records: bool) -> None:
        """Refuse to write over what no earlier run made, before anything is written.

        Args:
            records: Whether failures are recorded.

        Raises:
            UsageError: There is such a file.
        """
        errors = self._errors
        if self._paths is not None:
            self._paths.refuse_strangers()
            errors = self._paths.errors
            # A resumed run shows what the interrupted one recorded, whatever is to become of later failures.
            records = records or self._paths.journal.exists()
        if records and errors is not None:
            errors.refuse_strangers()

    def open(self, identity: Callable[[], Mapping[str, Any] | None], *, resume: bool, columns: Sequence[str]) -> Output:
        """Return the output.

        Args:
            identity: Gives what is run on what; None where an interrupted run cannot be resumed. Asked for only where
                rows go to a file of their own.
            resume: Whether to continue an interrupted run.
            columns: The keys of a row.

        Raises:
            UsageError: It cannot be written, or what was asked and what is there do not fit together.
        """
        if self._paths is not None:
            return FileOutput(self._paths, identity(), resume=resume, columns=columns)
        if resume:
            raise UsageError("--resume: needs rows in a file of their own; name one by -o")
        if self._device is None:
            stream, give_back = claim_standard_output()
        else:
            stream, give_back = _open_device(self._device), None
        with ExitStack() as undo:
            undo.callback(stream.close)
            if give_back is not None:
                undo.callback(give_back)
            output = StreamOutput(stream, self._open_errors(), give_back)
            undo.pop_all()
        return output

    def _open_errors(self) -> PartFile | None:
        if self._errors is None:
            return None
        part = PartFile(self._errors.path, self._errors.shown)
        part.cut(0)
        return part


def _open_device(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}; name a file by -o") from error
