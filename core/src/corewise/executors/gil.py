"""Whether threads of this process run Python at the same time, and who prevents it."""

from __future__ import annotations

import re
import sys

__all__ = ["gil_culprit", "is_free_threaded"]

_FREE_THREADED_BUILD = "t" in getattr(sys, "abiflags", "")  # `sysconfig` knows, too, but loads all that make knew
_LOADED = re.compile(r"The global interpreter lock \(GIL\) has been enabled to load module '([^']+)'")


def is_free_threaded(require_active: bool = False) -> bool:
    """Whether this is a free-threaded build of Python.

    Args:
        require_active: Whether the GIL must also be off right now: an environment variable, an option or an extension
            module can switch it on.
    """
    if not _FREE_THREADED_BUILD:
        return False
    return not (require_active and _gil_is_on())


def gil_culprit() -> str:
    """Say why the GIL is on, naming the module that switched it on where Python kept its name; empty where it is off.

    CPython tells of such a module by a warning when it is imported, once, and remembers the text of that warning in
    the registry of the import machinery (``PyUnstable_Module_SetGIL`` in the documentation of CPython's C API).
    """
    if not _FREE_THREADED_BUILD:
        return "this build of Python always has a GIL"
    if not _gil_is_on():
        return ""
    if getattr(sys.flags, "gil", None) == 1:
        return "PYTHON_GIL=1 or -X gil=1 switched it on"
    registry = getattr(sys.modules.get("_frozen_importlib"), "__warningregistry__", {})
    names = [match[1] for key in registry if isinstance(key, tuple) and (match := _LOADED.match(str(key[0])))]
    if names:
        return f"module {names[-1]!r} switched it on: it does not declare that it can run without"
    return "a module that does not declare that it can run without switched it on"


def _gil_is_on() -> bool:
    enabled = getattr(sys, "_is_gil_enabled", None)
    return True if enabled is None else bool(enabled())
