"""Starting a worker process: its command line, its descriptors, and what it is told first.

``posix_spawn`` starts it without running Python code in a forked copy of this process, so a pool may start workers from
any thread, under any lock. Its environment is complete before its interpreter starts.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what signal wraps in enums, at a tenth of the cost
import fcntl
import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from corewise.builtin.spawn import page
from corewise.builtin.spawn.wire import socket_pair
from corewise.builtin.spawn.worker import BELL, LIFELINE, PAGE, SOCKET

__all__ = ["Launched", "describe", "launch", "main_module"]

_BEYOND_TARGETS = 16  # the sources of dup2 must not be among its targets


@attrs.frozen(kw_only=True)
class Launched:
    """A process that has been started, and this side of what connects it.

    Attributes:
        pid: Its process number.
        pidfd: Readable when it has ended.
        near: This side's end of the socket pair.
        far: A handle on its end, to take messages back from.
        stderr: Where its standard error arrives.
        lifeline: Writing end of its lifeline, which nothing is ever written to: its end of file is this process's.
        bell: Rung to have what a worker's tasks have given so far.
        words: The page in which it tells what it runs.
    """

    pid: int
    pidfd: int
    near: Any
    far: Any
    stderr: int
    lifeline: int
    bell: int
    words: memoryview


def launch(environment: dict[str, str]) -> Launched:
    """Start a worker process. Where that fails, no descriptor is left.

    Args:
        environment: Its complete environment.

    Raises:
        OSError: The process could not be started.
    """
    with ExitStack() as ours, ExitStack() as theirs:
        near, far = socket_pair()
        ours.callback(near.close)
        ours.callback(far.close)
        page_fd = _closed_by(theirs, os.memfd_create("corewise-page", os.MFD_CLOEXEC))
        os.ftruncate(page_fd, page.SIZE)
        words = page.map_page(page_fd)
        ours.callback(words.release)
        stderr, stderr_far = _pipe(ours, theirs)
        # One for each worker: the kernel notifies one owner of an open pipe.
        lifeline_far, lifeline = _pipe(theirs, ours)
        bell = _closed_by(ours, os.eventfd(0, os.EFD_CLOEXEC))
        given = {SOCKET: far.fileno(), LIFELINE: lifeline_far, PAGE: page_fd, BELL: bell, 2: stderr_far}
        near.setblocking(False)
        os.set_blocking(stderr, False)
        pid, pidfd = _spawn(environment, given, theirs)
        ours.pop_all()
    return Launched(pid=pid, pidfd=pidfd, near=near, far=far, stderr=stderr, lifeline=lifeline, bell=bell, words=words)


def _closed_by(stack: ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    return _closed_by(reader, reading), _closed_by(writer, writing)


def _spawn(environment: dict[str, str], given: dict[int, int], theirs: ExitStack) -> tuple[int, int]:
    """Start the process with the descriptors that it is given, by target; return its number and its pidfd."""
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    for target, fd in given.items():
        source = _closed_by(theirs, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _BEYOND_TARGETS))
        actions.append((os.POSIX_SPAWN_DUP2, source, target))
    pid = os.posix_spawn(
        sys.executable,
        _command(),
        environment,
        file_actions=actions,
        setsigmask=[_signal.SIGINT],  # until the worker has a handler for it
        setsigdef=[_signal.SIGINT, _signal.SIGTERM, _signal.SIGIO],
    )
    try:
        return pid, os.pidfd_open(pid)
    except OSError:
        os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _command() -> list[str]:
    home = [path or str(Path.cwd()) for path in sys.path]
    code = f"import sys; sys.path[:] = {home!r}; from corewise.builtin.spawn.worker import main; main()"
    return [sys.executable, *_interpreter_options(), "-c", code]


def _interpreter_options() -> list[str]:
    """Return the options this interpreter runs with, as a new one takes them (docs: ``sys.flags``)."""
    flags = sys.flags
    letters = {
        "d": flags.debug,
        "O": flags.optimize,
        "B": flags.dont_write_bytecode,
        "S": flags.no_site,
        "v": flags.verbose,
        "b": flags.bytes_warning,
        "q": flags.quiet,
    }
    options = ["-" + letter * count for letter, count in letters.items() if count]
    if flags.isolated:
        options.append("-I")
    else:
        options += ["-E"] * flags.ignore_environment + ["-s"] * flags.no_user_site
    options += [f"-W{option}" for option in sys.warnoptions]
    named = sys._xoptions  # noqa: SLF001 - the documented way to read them
    options += [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in named.items()]
    return options


def describe(
    name: str, worker: bytes, hooks: tuple[bytes, bytes] | None, put_off: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Gather what a worker is told before anything else.

    Args:
        name: What its log records are marked with.
        worker: Its record, pickled; it is loaded when something in the worker asks for it.
        hooks: Start and stop hook, each pickled with its argument; None where no hook has anything to do.
        put_off: Modules before whose import the start hook is to run; empty where that is before the first task.
    """
    start, stop = hooks or (None, None)
    return {
        "name": name,
        "worker": worker,
        "start": start,
        "stop": stop,
        "put_off": put_off,
        "path": list(sys.path),
        "argv": list(sys.argv),
        "main": main_module(),
        "levels": _log_levels(),
    }


def main_module() -> tuple[str | None, str | None] | None:
    """Return name or path of the main module, None where it cannot be run again (a notebook, standard input)."""
    main = sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        return name, None
    path = getattr(main, "__file__", None)
    if path is None or getattr(main, "__ipython_session__", False) or not os.path.exists(path):  # noqa: PTH110 - a str
        return None
    return None, os.path.abspath(path)  # noqa: PTH100 - the same


def _log_levels() -> dict[str, int]:
    root = logging.getLogger()
    levels = {"": root.level}
    for name, logger in list(root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level != logging.NOTSET:
            levels[name] = logger.level
    return levels
