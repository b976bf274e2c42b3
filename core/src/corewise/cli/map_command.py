"""``corewise map``: a function over every item of an input."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Any

from cyclopts import Parameter

from corewise.cli.claims import refuse_clashes
from corewise.cli.engine import configure
from corewise.cli.functions import NamedFunction, find_function
from corewise.cli.inputs import Input, open_input, reads
from corewise.cli.inputs.files import Files
from corewise.cli.interrupts import Interrupts, Terminated
from corewise.cli.map_options import MapOptions
from corewise.cli.map_run import ItemFailedError, MapRun, Progress, Silence
from corewise.cli.outputs import Output, Target
from corewise.cli.streams import say
from corewise.cli.tables import print_json
from corewise.cli.task import ItemTask
from corewise.cli.usage import ExitCode, InputError, UsageError
from corewise.errors import CorewiseError

__all__ = ["map_items"]


def map_items(
    function: Annotated[str, Parameter(name="MODULE:FUNCTION")],
    source: Annotated[str, Parameter(name="INPUT", allow_leading_hyphen=True)],
    /,
    *,
    options: MapOptions | None = None,
) -> ExitCode:
    """Run a function on every item of an input; each gives one row, {"index": …, "result": …}.

    Results may be anything that has a JSON form: also arrays, dates, paths, sets, attrs and dataclass instances. NaN
    becomes null. Exit code 0: every item succeeded; 1: items failed; 2: the command is wrong; 130: interrupted.

    Args:
        function: Takes one item. The working directory is on the import path.
        source: A .txt (each line is an item), .jsonl, .csv or .parquet file, or - for the lines of standard input.
        options: How.
    """
    options = options or MapOptions()
    configure(options.executor, options.jobs)
    found = find_function(function)
    target = Target(options.output, options.errors)
    items = _input(source, options, target)
    _refuse_clashes(source, options, target)
    columns = ("index", "item", "result") if options.keep_input else ("index", "result")
    output = target.open(lambda: _identity(found, items, options), resume=options.resume, columns=columns)
    with Interrupts() as interrupts:
        return _carry_out(found, items, output, options, interrupts)


def _input(source: str, options: MapOptions, target: Target) -> Input:
    if options.files:
        return Files.matching(source, options.exclude, tuple(claim.path for claim in target.claims()))
    items = open_input(source, encoding=options.encoding)
    if options.resume and not items.resumable:
        what = "standard input" if source == "-" else source
        raise UsageError(f"--resume: {what} cannot be read again; save it to a file and name that")
    return items


def _refuse_clashes(source: str, options: MapOptions, target: Target) -> None:
    """Refuse a run that would destroy its own input, or anything that no earlier run made."""
    claims = target.claims()
    if not options.files:
        claims = (reads(source), *claims)
    refuse_clashes(claims)
    target.refuse_strangers(records=options.on_error == "record")


def _identity(found: NamedFunction, items: Input, options: MapOptions) -> Mapping[str, Any] | None:
    """Return what a resumed run must have in common with the interrupted one; None where it cannot be resumed."""
    if not items.resumable:
        return None
    return {
        "INPUT": items.identity(),
        "MODULE:FUNCTION": [f"{found.module}:{found.name}", found.source_digest],
        "--keep-input": options.keep_input,
        "--unordered": options.unordered,
        "--limit": options.limit,
        "--errors": str(options.errors),
    }


def _carry_out(
    found: NamedFunction, items: Input, output: Output, options: MapOptions, interrupts: Interrupts
) -> ExitCode:
    task = ItemTask(found.module, found.name, found.directory, options.keep_input, found.function)
    try:
        if not output.complete:
            with _progress(items, output, options) as progress:
                run = MapRun(
                    task=task,
                    source=items,
                    output=output,
                    options=options.engine(),
                    on_error=options.on_error,
                    limit=options.limit,
                    progress=progress,
                    say=_say,
                )
                run.run(interrupts)
        output.finish()
    except BaseException as error:  # noqa: BLE001 - whatever ended the run, the output is told; then it is raised again
        left = output.abandon(resumable=not isinstance(error, InputError))
        return _cut_short(error, output.done.count, left)
    if options.as_json:
        summary = {"done": output.done.count, "failed": output.failed, "errors": output.errors_name}
        print_json(summary, sys.stdout if options.output else sys.stderr)
        return ExitCode.FAILED if output.failed else ExitCode.OK
    return _summary(output)


def _progress(items: Input, output: Output, options: MapOptions) -> AbstractContextManager[Progress]:
    wanted = sys.stderr.isatty() if options.progress is None else options.progress
    if not wanted:
        return Silence()
    from corewise.cli.progress import Bar

    total = items.total()
    if total is not None and options.limit is not None:
        total = min(total, options.limit)
    return Bar(total, output.done.count, sum(output.failed.values()))


def _cut_short(error: BaseException, done: int, left: str) -> ExitCode:
    """Say how the run ended and how to go on; an error that nobody here can explain goes on its way."""
    if isinstance(error, Terminated):
        _say(f"terminated after {done:,} items{left}")
        return ExitCode.TERMINATED
    if isinstance(error, KeyboardInterrupt):
        _say(f"interrupted after {done:,} items{left}")
        return ExitCode.INTERRUPTED
    if isinstance(error, ItemFailedError):
        _say(f"{error}{left}")
        return ExitCode.FAILED
    if isinstance(error, BrokenPipeError):
        return ExitCode.BROKEN_PIPE
    if isinstance(error, (UsageError, CorewiseError)):
        raise UsageError(f"{error}{left}") from error
    if isinstance(error, OSError):
        raise UsageError(f"the output cannot be written: {error}{left}") from error
    raise error


def _summary(output: Output) -> ExitCode:
    failed = sum(output.failed.values())
    if not failed:
        return ExitCode.OK
    kinds = ", ".join(f"{count:,} {name}" for name, count in Counter(output.failed).most_common())
    where = f"; records: {output.errors_name}" if output.errors_name else ""
    _say(f"{failed:,} of {output.done.count:,} items failed ({kinds}){where}")
    return ExitCode.FAILED


def _say(text: str) -> None:
    say(f"corewise map: {text}")
