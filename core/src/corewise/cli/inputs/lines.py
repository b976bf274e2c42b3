"""Lines of text, each with its number: the ground that text, JSONL and CSV inputs stand on."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from corewise.cli.usage import UsageError
from corewise.spelling import did_you_mean

__all__ = ["check_encoding", "decoded_lines"]

_COMMON = ("utf-8", "latin-1", "cp1252", "ascii", "utf-8-sig", "iso8859-15", "shift_jis", "euc-jp", "gb18030", "koi8-r")


def check_encoding(name: str) -> str:
    """Return the encoding of this name if its files can be split into lines before they are decoded.

    Raises:
        UsageError: Python knows no such encoding, or its newline is not the byte 0x0A.
    """
    try:
        if (known := codecs.lookup(name).name) == "utf-8-sig":
            return "utf-8"  # a byte order mark is dropped in any case
        newline = "\n".encode(known)
    except (LookupError, UnicodeError, ValueError):
        raise UsageError(f"--encoding: no text encoding {name!r}{did_you_mean(name, _COMMON)}") from None
    if newline != b"\n":
        raise UsageError(f"--encoding: {name} is not split into lines here; convert the input, as by iconv -t utf-8")
    return name


def decoded_lines(file: Iterable[bytes], source: str, encoding: str) -> Iterator[str]:
    """Yield the lines as text, newlines kept; a UTF-8 byte order mark is dropped.

    Args:
        file: The lines as bytes.
        source: What messages call the input.
        encoding: As ``check_encoding`` allows.

    Raises:
        UsageError: A line is not of this encoding, or the file cannot be read.
    """
    number = 0
    try:
        for number, line in enumerate(file, 1):
            text = line.decode(encoding)
            if number == 1 and not (text := text.removeprefix("\ufeff")):
                return  # nothing but the mark: an empty file
            yield text
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UsageError(
            f"{source} line {number}: not {encoding}, got byte 0x{byte:02x} at column {error.start + 1};"
            " name the encoding of the file by --encoding"
        ) from error
    except UnicodeError as error:  # codecs that say no more, as idna
        why = " ".join(str(error).split())
        raise UsageError(f"{source} line {number}: not {encoding}: {why}; name another by --encoding") from error
    except OSError as error:
        raise UsageError(f"{source} line {number + 1}: cannot be read: {error.strerror or error}") from error
