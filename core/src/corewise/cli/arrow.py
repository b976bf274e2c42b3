"""pyarrow, which is an extra: found, or asked for with the command that installs it."""

from __future__ import annotations

from typing import Any

from corewise.cli.usage import UsageError

__all__ = ["import_pyarrow"]


def import_pyarrow(purpose: str) -> tuple[Any, Any]:
    """Import pyarrow and return it, and its module for Parquet.

    Args:
        purpose: What it is needed for, as in ``reading Parquet``.

    Raises:
        UsageError: It is not installed; the text holds the command.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError(f"{purpose} needs pyarrow; run: pip install 'corewise[parquet]'") from error
    return pa, pq
