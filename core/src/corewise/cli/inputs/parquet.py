"""Rows of a Parquet file as items, read batch by batch."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import attrs

from corewise.cli.arrow import import_pyarrow
from corewise.cli.inputs.contract import digest_of_file
from corewise.cli.usage import UsageError

__all__ = ["ParquetFile"]

_ROWS = 1024


@attrs.frozen
class ParquetFile:
    """Every row of a Parquet file is a dict by column name.

    Attributes:
        path: The file.
    """

    path: Path
    resumable: bool = attrs.field(default=True, init=False)

    def items(self) -> Generator[Any, None, None]:
        """Yield the rows; no more than one batch of them is held."""
        with self._opened() as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                raise UsageError(f"{self.path}: each column must have a name of its own, got {names}")
            try:
                for batch in file.iter_batches(batch_size=_ROWS):
                    yield from batch.to_pylist()
            except (OSError, ValueError) as error:
                raise UsageError(f"{self.path}: cannot be read as Parquet: {_line(error)}") from error

    def _opened(self) -> Any:
        _, parquet = import_pyarrow("reading Parquet")
        try:
            return parquet.ParquetFile(self.path)
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path}: not a Parquet file: {_line(error)}") from error

    def identity(self) -> Mapping[str, Any]:
        """Return the digest of the file."""
        return {"kind": "ParquetFile", "sha256": digest_of_file(self.path).sha256}

    def total(self) -> int | None:
        """Return the number of rows, from the file's own footer."""
        with self._opened() as file:
            rows: int = file.metadata.num_rows
            return rows


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
