"""What a worker does once, before its first message: take over the pool's paths, log levels and main module."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from corewise.builtin.spawn.wire import Channel

__all__ = ["become"]

preparing_main: bool = False


def become(description: dict[str, Any], channel: Channel) -> tuple[bytes | None, bytes | None]:
    """Make this process the worker that the pool describes.

    Args:
        description: What ``launch.describe`` gathered.
        channel: Where log records go.

    Returns:
        The start hook and stop hook that are left to the worker, each pickled with its argument; None for none.
    """
    import faulthandler

    sys.path[:] = description["path"]
    sys.argv[:] = description["argv"]
    faulthandler.enable()
    from corewise.executors import worker

    worker.enter_process(description["worker"])
    if description["main"] is not None and not _is_program(description["main"][0]):
        _promise_main(*description["main"])
    from corewise.builtin.spawn import relay

    relay.install(channel, description["name"], description["levels"])
    start, stop = description["start"], description["stop"]
    if not description["put_off"]:
        return start, stop
    from corewise.executors.late_start import start_before

    start_before(description["put_off"], lambda: _call(start))
    return None, None


def _call(pickled: bytes) -> None:
    """Call a hook that is pickled with its argument."""
    from _pickle import loads

    hook, record = loads(pickled)
    hook(record)


def _is_program(name: str | None) -> bool:
    """Whether a main module is what ``python -m package`` or ``python directory`` runs.

    It is not run again, because such a module has no guard as a rule; ``multiprocessing`` does the same.
    """
    return name is not None and name.rpartition(".")[2] == "__main__"


def _promise_main(name: str | None, path: str | None) -> None:
    """Run the pool's main module when something in ``__main__`` is asked for, not before.

    Functions and classes of ``__main__`` travel by value, so it is seldom needed; and a script that starts work without
    a guard is not run again for nothing.
    """
    main = sys.modules["__main__"]
    names = vars(main)

    def missing(attribute: str) -> Any:
        if not attribute.startswith("__"):
            del names["__getattr__"]
            _run_main(main, name, path)
            if attribute in names:
                return names[attribute]
        raise AttributeError(f"module '__main__' has no attribute {attribute!r}")

    names["__getattr__"] = missing


def _run_main(main: ModuleType, name: str | None, path: str | None) -> None:
    """Run the main module under the name that ``multiprocessing`` gives it, so that its guard holds."""
    import runpy

    global preparing_main  # noqa: PLW0603 - a pool that is made meanwhile has to know
    preparing_main = True
    try:
        if name is not None:
            found = runpy.run_module(name, run_name="__mp_main__", alter_sys=True)
        else:
            found = runpy.run_path(str(path), run_name="__mp_main__")
    finally:
        preparing_main = False
    vars(main).update({key: value for key, value in found.items() if not key.startswith("__")})
    sys.modules["__mp_main__"] = main
