"""Rows of JSON to Parquet, in two passes over the file: the first finds the types, the second writes.

Rows are collected as JSON lines also for Parquet, because a Parquet file is readable only once its footer is written:
an interrupted run could not be resumed from half of one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from corewise.cli.arrow import import_pyarrow
from corewise.cli.outputs.parts import beside

__all__ = ["write_parquet"]

_PURPOSE = "writing Parquet"
_ROWS = 16_384


def write_parquet(rows: Path, output: Path, columns: Sequence[str]) -> None:
    """Write a file of JSON lines as Parquet, atomically, holding one group of rows at a time.

    A column whose values fit no one Parquet type holds them as JSON text.

    Args:
        rows: The JSON lines; every one has the same keys.
        output: The Parquet file.
        columns: The keys, for where there is no row.
    """
    pa, _ = import_pyarrow(_PURPOSE)
    fresh = beside(output, ".part.parquet")
    types = _types(rows) or dict.fromkeys(columns, pa.null()) | {"index": pa.int64()}
    try:
        _write(rows, fresh, types)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        # A type that Arrow finds and Parquet cannot hold, as a struct without members.
        _write(rows, fresh, {name: kind if name == "index" else None for name, kind in types.items()})
    fresh.replace(output)


def _groups(rows: Path) -> Iterator[list[dict[str, Any]]]:
    with rows.open("rb") as file:
        while lines := list(itertools.islice(file, _ROWS)):
            yield [json.loads(line) for line in lines]


def _types(rows: Path) -> dict[str, Any]:
    """Return the type of each column, None for one whose values fit no one type."""
    pa, _ = import_pyarrow(_PURPOSE)
    types: dict[str, Any] = {}
    for group in _groups(rows):
        for name in group[0]:
            types[name] = _unified(types.get(name, pa.null()), [row[name] for row in group])
    return types


def _unified(known: Any, values: list[Any]) -> Any:
    pa, _ = import_pyarrow(_PURPOSE)
    if known is None:
        return None
    try:
        kinds = (known, pa.infer_type(values))
        schemas = [pa.schema([pa.field("column", kind)]) for kind in kinds]
        return pa.unify_schemas(schemas, promote_options="permissive").field("column").type
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None


def _write(rows: Path, path: Path, types: dict[str, Any]) -> None:
    pa, parquet = import_pyarrow(_PURPOSE)
    schema = pa.schema({name: pa.string() if kind is None else kind for name, kind in types.items()})
    with parquet.ParquetWriter(path, schema) as writer:
        for group in _groups(rows):
            columns = [_column([row[name] for row in group], kind) for name, kind in types.items()]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _column(values: list[Any], kind: Any) -> Any:
    pa, _ = import_pyarrow(_PURPOSE)
    if kind is None:
        return pa.array([json.dumps(value) for value in values], type=pa.string())
    return pa.array(values, type=kind)
