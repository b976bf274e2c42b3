"""The files that a run to a file of rows writes: two that the user knows, and helpers beside them."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from corewise.cli.arrow import import_pyarrow
from corewise.cli.claims import OTHER_ERRORS, OTHER_OUTPUT, Claim
from corewise.cli.outputs.parts import beside
from corewise.cli.outputs.strangers import (
    begins_as_journal,
    begins_as_record,
    begins_as_row,
    holds_records,
    refuse_stranger,
)
from corewise.cli.usage import UsageError

__all__ = ["ErrorsFile", "OutputPaths"]

_ENDINGS = (".jsonl", ".ndjson", ".parquet")


@attrs.frozen
class ErrorsFile:
    """Where records of failures appear.

    Attributes:
        path: The file.
        shown: The path as the user gave it, or would have.
        asked: Whether the user named it, so that it appears also when nothing failed.
    """

    path: Path
    shown: str
    asked: bool = False

    @classmethod
    def named(cls, path: Path) -> ErrorsFile:
        """Return the file that ``--errors`` names; a link is followed, so that it stays a link."""
        return cls(_real(path), str(path), asked=True)

    @classmethod
    def of_output(cls, output: Path) -> ErrorsFile:
        """Return the file beside an output, where that really is."""
        path, shown = _real(output).with_suffix(".errors.jsonl"), output.with_suffix(".errors.jsonl")
        return cls(path, str(shown if _real(shown) == path else path))

    def claims(self) -> tuple[Claim, ...]:
        """Return what a run writes for the sake of failures."""
        name = f"--errors {self.shown}" if self.asked else f"the file of failures {self.shown}"
        mend = OTHER_ERRORS if self.asked else OTHER_OUTPUT
        part = beside(self.path, ".part")
        return Claim(name, self.path, mend), Claim(f"the helper file {part}", part, mend)

    def refuse_strangers(self) -> None:
        """Raise UsageError if a file that is none of an earlier run would have to give way to records."""
        # Asked only where failures are recorded, and there --errors always helps.
        refuse_stranger(self.path, holds_records, OTHER_ERRORS)
        refuse_stranger(beside(self.path, ".part"), begins_as_record, OTHER_ERRORS)


@attrs.frozen
class OutputPaths:
    """The files of a run.

    Attributes:
        output: Where rows appear.
        errors: Where records of failures appear, if there are any.
        shown: The output as the user gave it.
    """

    output: Path
    errors: ErrorsFile
    shown: str

    @classmethod
    def of(cls, output: Path, errors: Path | None) -> OutputPaths:
        """Return the files of a run.

        Args:
            output: Where rows shall appear; a link is followed, so that it stays a link.
            errors: Where records of failures shall appear; beside the output unless given.

        Raises:
            UsageError: Nothing is known for the ending of the output, or its directory is not there.
        """
        if (ending := output.suffix.lower()) not in _ENDINGS:
            allowed = ", ".join(_ENDINGS)
            raise UsageError(f"{output}: nothing writes the ending {ending or '(none)'}; allowed {allowed}")
        found = cls(
            _real(output), ErrorsFile.of_output(output) if errors is None else ErrorsFile.named(errors), str(output)
        )
        for path in (found.output, found.errors.path):
            if not path.parent.is_dir():
                raise UsageError(f"{path}: no such directory: {path.parent}")
        if ending == ".parquet":
            import_pyarrow("writing Parquet")
        return found

    @property
    def part(self) -> Path:
        """The path of the rows while they grow."""
        return beside(self.output, ".part")

    @property
    def journal(self) -> Path:
        """The journal's path."""
        return beside(self.output, ".journal")

    def claims(self) -> tuple[Claim, ...]:
        """Return every file that a run writes."""
        helpers = (self.part, self.journal, beside(self.journal, ".new"), beside(self.part, ".parquet"))
        return (
            Claim(f"-o {self.shown}", self.output, OTHER_OUTPUT),
            *(Claim(f"the helper file {path}", path, OTHER_OUTPUT) for path in helpers),
            *self.errors.claims(),
        )

    def refuse_strangers(self) -> None:
        """Raise UsageError if a helper file is there that no run made: the output is the user's own word."""
        refuse_stranger(self.journal, lambda _: True, OTHER_OUTPUT)  # what it says is for the journal to judge
        refuse_stranger(beside(self.journal, ".new"), begins_as_journal, OTHER_OUTPUT)
        refuse_stranger(self.part, lambda path: self.journal.exists() or begins_as_row(path), OTHER_OUTPUT)
        refuse_stranger(beside(self.part, ".parquet"), lambda _: self.journal.exists(), OTHER_OUTPUT)


def _real(path: Path) -> Path:
    # Not Path.resolve(): on Python 3.11 it raises at a loop of links.
    return Path(os.path.realpath(path))
