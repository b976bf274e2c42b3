"""How the end of a worker is told."""

from __future__ import annotations

from corewise.builtin.spawn.process import Process
from corewise.errors import WorkerDiedError

__all__ = ["died"]


def died(process: Process, what: str) -> WorkerDiedError:
    """Say how a worker ended."""
    code = process.exitcode or 0
    if code < 0:
        from signal import Signals

        try:
            how = f"by signal {-code} ({Signals(-code).name})"
        except ValueError:
            how = f"by signal {-code}"
    else:
        how = f"with exit code {code}"
    text = "\n".join(process.lines)
    said = f"; it last wrote to standard error:\n{text}" if text else ""
    return WorkerDiedError(f"{what}, the last one ({process.name}) {how}{said}", exitcode=code, stderr=text)
