"""The options of ``corewise map``, and what they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from corewise.cli.engine import EngineOptions
from corewise.cli.map_run import OnError
from corewise.cli.usage import UsageError

__all__ = ["MapOptions"]

_Flag = Annotated[bool, Parameter(negative="", show_default=False)]


def _at_least(least: float) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None and not value >= least:
            raise UsageError(f"--{attribute.name.replace('_', '-')}: must be at least {least}, got {value}")

    return check


def _positive(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        raise UsageError(f"--{attribute.name}: must be more than 0 seconds, got {value}")


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class MapOptions:
    """Options of ``corewise map``.

    Attributes:
        output: A .jsonl or .parquet file that appears when every item is done; standard output unless given, or for -.
        files: INPUT is a pattern (** matches any directories); the paths of the files that match are the items.
        exclude: With --files, a pattern of whole paths to leave out; may be given several times.
        encoding: Encoding of text input.
        keep_input: Rows hold the item too.
        executor: Executor, as the settings name it; the one that they choose unless given.
        jobs: Workers; negative: one for each CPU; as many as the settings say unless given.
        chunksize: Items that travel to a worker together; adapted to their duration unless given.
        unordered: Rows come as items are done; in the order of the items unless given.
        on_error: What becomes of failed items. raise: the first one ends the run. skip: they are left out and
            counted. record: a record of each is kept as well.
        errors: Where records of failed items go, as JSONL: index, item, error, message, traceback. OUTPUT with the
            ending .errors.jsonl unless given; without OUTPUT, one line each on standard error.
        retries: How often a failed item is run again.
        timeout: Seconds that one item may take.
        limit: Look at no more than the first so many items.
        resume: Continue the interrupted run to the same OUTPUT: no item is there twice, none is missing.
        progress: Show a progress bar; where standard error is a terminal unless given.
        as_json: End with a summary as JSON for programs: items done, failures by type, the file of their records. On
            standard output, or on standard error where the rows go to standard output.
    """

    output: Annotated[str | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = None
    files: _Flag = False
    exclude: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    encoding: str = "utf-8"
    keep_input: _Flag = False
    executor: str | None = None
    jobs: Annotated[int | None, Parameter(name=["--jobs", "-j"])] = None
    chunksize: int | None = attrs.field(default=None, validator=_at_least(1))
    unordered: _Flag = False
    on_error: OnError = "record"
    errors: Path | None = None
    retries: int = attrs.field(default=0, validator=_at_least(0))
    timeout: float | None = attrs.field(default=None, validator=_positive)
    limit: int | None = attrs.field(default=None, validator=_at_least(0))
    resume: _Flag = False
    progress: bool | None = None
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False

    def __attrs_post_init__(self) -> None:
        if self.exclude and not self.files:
            raise UsageError("--exclude: leaves out files, so it needs --files")
        if self.errors is not None and self.on_error != "record":
            raise UsageError(f"--errors: nothing is recorded with --on-error {self.on_error}; use --on-error record")

    def engine(self) -> EngineOptions:
        """Return how the items are run."""
        return EngineOptions(
            chunksize=self.chunksize,
            ordered=not self.unordered,
            retries=self.retries,
            timeout=self.timeout,
        )
