"""Inputs of ``corewise map``: one class for each kind, and the rule that chooses among them."""

from __future__ import annotations

import stat
from pathlib import Path

from corewise.cli.claims import Claim
from corewise.cli.inputs.contract import Input
from corewise.cli.inputs.lines import check_encoding
from corewise.cli.inputs.text import CsvFile, JsonLinesFile, StandardInput, TextFile
from corewise.cli.paths import mode_of
from corewise.cli.usage import UsageError
from corewise.spelling import did_you_mean

__all__ = ["Input", "open_input", "reads"]

_BY_ENDING = {".txt": TextFile, ".jsonl": JsonLinesFile, ".ndjson": JsonLinesFile, ".csv": CsvFile}


def open_input(source: str, *, encoding: str = "utf-8") -> Input:
    """Return the input that ``source`` names, by its ending.

    Args:
        source: A path, or ``-`` for standard input.
        encoding: Of text; a Parquet file has none.

    Raises:
        UsageError: There is no such file, it cannot be read, or nothing is known for its ending.
    """
    encoding = check_encoding(encoding)
    if source == "-":
        return StandardInput(encoding)
    path = Path(source)
    mode = mode_of(path)
    if mode is not None and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return _stream(source, path, encoding)
    _check_readable(path, mode)
    ending = path.suffix.lower()
    if ending == ".parquet":
        from corewise.cli.inputs.parquet import ParquetFile

        return ParquetFile(path)
    if (kind := _BY_ENDING.get(ending)) is None:
        allowed = ", ".join([*_BY_ENDING, ".parquet"])
        raise UsageError(f"{source}: nothing reads the ending {ending or '(none)'}; allowed {allowed}, or - for lines")
    return kind(path, encoding)


def _stream(source: str, path: Path, encoding: str) -> Input:
    """Return an input that is opened once, for its items: who opens a pipe and goes away ends its writer."""
    ending = path.suffix.lower()
    if ending == ".parquet":
        raise UsageError(f"{source}: a pipe; Parquet is read from its end, so save it to a file and name that")
    if (kind := _BY_ENDING.get(ending)) is None:
        allowed = ", ".join(_BY_ENDING)
        raise UsageError(
            f"{source}: a pipe or device without an ending that tells its format ({allowed});"
            f" for its lines write - as INPUT and < {source}"
        )
    return kind(path, encoding, resumable=False)


def reads(source: str) -> Claim:
    """Return the claim of a run to the file that it reads, which it may reach by standard input too."""
    if source == "-":
        return Claim("standard input", Path("/dev/stdin"))
    return Claim(f"INPUT {source}", Path(source))


def _check_readable(path: Path, mode: int | None) -> None:
    if mode is not None and stat.S_ISDIR(mode):
        raise UsageError(f"{path}: a directory; take its files as items by --files '{path}/**'")
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError:
        parent = path.parent if path.parent.is_dir() else None
        known = [entry.name for entry in parent.iterdir()] if parent else []
        raise UsageError(f"{path}: no such file{did_you_mean(path.name, known)}") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
