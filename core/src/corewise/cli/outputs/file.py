"""Rows to a file that appears whole or not at all, with a journal beside it while it grows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corewise.cli.outputs.checkpoints import Checkpoints
from corewise.cli.outputs.journal import Journal, JournalState, differences
from corewise.cli.outputs.parts import PartFile, beside, sync_directory
from corewise.cli.outputs.paths import OutputPaths
from corewise.cli.outputs.ranges import Ranges
from corewise.cli.outputs.strangers import holds_records
from corewise.cli.usage import UsageError

__all__ = ["FileOutput"]

_CONTINUE = "; continue by the same command and --resume"


class FileOutput:
    """Rows to ``OUTPUT.part``, failures to ``ERRORS.part``, progress to ``OUTPUT.journal``; in the end, renames.

    The lock of ``Checkpoints`` guards the part files and the state: the run takes it for each row, the thread that
    writes checkpoints for each of them.

    Args:
        paths: The files.
        identity: What is run on what; a resumed run must have the same. None where the run cannot be resumed.
        resume: Whether to continue the run whose journal is there, if one is.
        columns: The keys of a row: a table has them also where there is no row.

    Raises:
        UsageError: A file cannot be written, another run writes it, or the journal forbids what was asked.
    """

    def __init__(
        self,
        paths: OutputPaths,
        identity: Mapping[str, Any] | None,
        *,
        resume: bool,
        columns: Sequence[str] = ("index", "result"),
    ) -> None:
        self._paths = paths
        self._columns = columns
        self._resumable = identity is not None
        self._journal = Journal(paths.journal)
        self._parts: list[PartFile] = []
        self._errors: PartFile | None = None
        known = self._journal.load()
        self._state = known or JournalState(identity or {})
        self.done: Ranges = self._state.done
        self.failed: dict[str, int] = self._state.failed
        try:
            if not self._state.complete:
                self._rows = self._part(paths.output, paths.shown)
            if known is not None:
                _check(known, paths, identity or {}, resume=resume)
            if not self._state.complete:
                self._begin()
        except BaseException:
            self._close()
            raise

    def _part(self, final: Path, shown: str) -> PartFile:
        part = PartFile(final, shown)
        self._parts.append(part)
        return part

    def _begin(self) -> None:
        self._rows.cut(self._state.rows_size)
        if self._state.errors_size is not None or self._paths.errors.asked:
            self._errors = self._part(self._paths.errors.path, self._paths.errors.shown)
            self._errors.cut(self._state.errors_size or 0)
        self._journal.save(self._state)
        self._checkpoints = Checkpoints(self._save)

    @property
    def complete(self) -> bool:
        """Whether an earlier run did every item, and only ``finish`` is left."""
        return self._state.complete

    @property
    def errors_name(self) -> str | None:
        """The file of failures; None where none was written."""
        return self._paths.errors.shown if self._errors or self._state.errors_size is not None else None

    def row(self, index: int, line: bytes) -> None:
        """Append the row."""
        with self._checkpoints:
            self._rows.write(line)
            self.done.add(index)

    def failure(self, index: int, error: str, line: bytes | None) -> None:
        """Count the failure and append its record."""
        with self._checkpoints:
            if line is not None:
                if self._errors is None:
                    self._errors = self._part(self._paths.errors.path, self._paths.errors.shown)
                    self._errors.cut(0)
                self._errors.write(line)
            self.failed[error] = self.failed.get(error, 0) + 1
            self.done.add(index)

    def _save(self) -> None:
        """Bring part files to disk, then the journal that speaks of them. Called with the lock held."""
        for part in self._parts:
            part.sync()
        self._state.rows_size = self._rows.size
        self._state.errors_size = self._errors.size if self._errors else None
        self._journal.save(self._state)

    def finish(self) -> None:
        """Let the output appear: failures first, then rows, then the journal goes.

        Killed in between, the journal says that the run is complete, and a resumed run does the rest.
        """
        if not self._state.complete:
            self._checkpoints.stop()
            self._state.complete = True
            self._save()
            self._close()
        self._show_errors()
        self._show_rows()
        self._journal.delete()
        sync_directory(self._paths.output)

    def _show_errors(self) -> None:
        errors = self._paths.errors.path
        if self._state.errors_size is not None:
            _rename(errors)
        elif holds_records(errors):
            # What an earlier run left there would be taken for this run's failures.
            errors.unlink()

    def _show_rows(self) -> None:
        part = self._paths.part
        if part.exists() and self._paths.output.suffix.lower() == ".parquet":
            from corewise.cli.outputs.parquet import write_parquet

            write_parquet(part, self._paths.output, self._columns)
            part.unlink()
        else:
            _rename(self._paths.output)

    def abandon(self, *, resumable: bool) -> str:
        """Write a last checkpoint; the part files stay, and the journal if the run can be resumed."""
        if self._state.complete:
            return _CONTINUE
        # Where the disk is full the checkpoint before this one stands, and the error that told so is on its way.
        with contextlib.suppress(OSError):
            self._checkpoints.stop()
            self._save()
        self._close()
        if not self.done.count:
            self._discard()
            return ""
        if resumable and self._resumable:
            return _CONTINUE
        self._journal.delete()
        return f"; the rows so far are in {self._rows.path}"

    def _discard(self) -> None:
        for part in self._parts:
            part.path.unlink(missing_ok=True)
        self._journal.delete()

    def _close(self) -> None:
        for part in self._parts:
            with contextlib.suppress(OSError):
                part.close()


def _rename(final: Path) -> None:
    part = beside(final, ".part")
    if part.exists():
        part.replace(final)


def _check(state: JournalState, paths: OutputPaths, identity: Mapping[str, Any], *, resume: bool) -> None:
    mend = f"delete {paths.journal} to begin anew"
    if not resume:
        left = f"an interrupted run left {state.done.count:,} finished items here"
        raise UsageError(f"{paths.shown}: {left}; continue it by --resume, or {mend}")
    if changed := differences(state.identity, identity):
        what = ", ".join(changed)
        raise UsageError(f"{paths.shown}: cannot be resumed: changed since the run began: {what}; {mend}")
