"""The chain of sources: keyword arguments, the environment, files. Read when settings are resolved, never at import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corewise.settings.app import COREWISE, App
from corewise.settings.arguments import argument_layer
from corewise.settings.environment import environment_layer
from corewise.settings.files import file_layers
from corewise.settings.raw import RawSettings

__all__ = ["read"]


def read(
    *,
    app: App = COREWISE,
    overrides: Mapping[str, Any] | None = None,
    caller: str = "",
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> RawSettings:
    """Read every source, without judging what it says: ``structure`` does that, and lists all problems at once.

    Args:
        app: Whose names the settings go by.
        overrides: Keyword arguments by name; None as a value counts as not given.
        caller: Where the overrides were given, as ``calling_line`` tells.
        environ: The environment; default ``os.environ``.
        directory: Where the search for files begins; default the working directory.

    Returns:
        The values in their raw form, strongest source first.

    Example:
        >>> raw = read(overrides={"num_cpus": 4}, environ={"COREWISE_NO_CONFIG": "1", "COREWISE_NUM_THREADS": "2"})
        >>> [str(value.origin) for value in raw.merged().values()]
        ['argument num_cpus', 'env COREWISE_NUM_THREADS']
    """
    environ = os.environ if environ is None else environ
    place = _working_directory() if directory is None else directory
    return RawSettings(
        (
            argument_layer(overrides or {}, caller),
            environment_layer(app, environ),
            *file_layers(app, environ, place),
        ),
        app,
    )


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was deleted under this process: only the root is above it for sure
        return Path(os.sep)
