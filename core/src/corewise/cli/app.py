"""The commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cyclopts import App, CycloptsError

import corewise
from corewise.cli.streams import NoOutput, give_up, replace_closed, say
from corewise.cli.usage import ExitCode, OutputError, UsageError, writing

__all__ = ["app", "run"]

app: App = App(
    name="corewise",
    help="One place decides how parallel a Python program is.",
    version=corewise.__version__,
    help_format="plaintext",
    version_format="plaintext",
    suppress_keyboard_interrupt=False,
)
# Named as text: a command's module is imported when the command is run.
for _name, _target in (
    ("map", "map_command:map_items"),
    ("run", "run_command:run_program"),
    ("doctor", "reports:doctor"),
    ("settings", "reports:settings"),
    ("plugins", "reports:plugins"),
    ("schema", "reports:schema"),
):
    app.command(f"corewise.cli.{_target}", name=_name)


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command and return its exit code.

    Args:
        arguments: Without the name of the program; those of this process unless given.
    """
    replace_closed()
    with _plain_warnings():
        return _run(sys.argv[1:] if arguments is None else arguments)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show the warnings of corewise as one line each; how Python shows them is for the authors of programs."""
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, corewise.CorewiseWarning):
            say(f"corewise: warning: {message}")
        else:
            show_others(message, category, *place, **options)

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("default", corewise.CorewiseWarning)
        warnings.showwarning = show
        yield


def _run(arguments: Sequence[str]) -> int:
    try:
        code = _carry_out(arguments)
        # Here, and not at the interpreter's end, it still has a meaning that the reader went away.
        if not isinstance(sys.stdout, NoOutput):
            with writing():
                sys.stdout.flush()
    except OutputError as error:
        give_up(1)
        say(f"corewise: {error}")
        return int(ExitCode.USAGE)
    except (CycloptsError, UsageError, corewise.CorewiseError) as error:
        say(f"corewise: {_text(error)}")
        return int(ExitCode.USAGE)
    except KeyboardInterrupt:
        say("corewise: interrupted")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        give_up(1)
        return int(ExitCode.BROKEN_PIPE)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's answer, in tables and help
            return int(ExitCode.BROKEN_PIPE)
        raise
    return int(code or ExitCode.OK)


def _carry_out(arguments: Sequence[str]) -> Any:
    command, bound, _ = app.parse_args(_without_options_of_programs(arguments), exit_on_error=False, print_error=False)
    if isinstance(getattr(command, "__self__", None), App):  # help and version, which print by themselves
        with writing():
            return command(*bound.args, **bound.kwargs)
    return command(*bound.args, **bound.kwargs)


def _without_options_of_programs(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``--`` before the program of ``corewise run``: what stands behind it is its own."""
    words = list(arguments)
    if words[:1] == ["run"] and words[1:] and not words[1].startswith("-"):
        words.insert(1, "--")
    return words


def _text(error: Exception) -> str:
    cause = error.__cause__
    return str(cause if isinstance(error, CycloptsError) and isinstance(cause, UsageError) else error)
