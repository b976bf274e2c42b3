"""Configuration files as sources: which ones count, and what their tables say, with line numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from corewise.settings.app import App
from corewise.settings.arguments import leaves
from corewise.settings.environment import CONFIG_FILE, NO_CONFIG, truth
from corewise.settings.messages import problem
from corewise.settings.model import Origin
from corewise.settings.raw import Layer, RawValue
from corewise.settings.toml_lines import Place, key_lines

__all__ = ["file_layers", "find_files"]

PYPROJECT = "pyproject.toml"


def file_layers(app: App, environ: Mapping[str, str], directory: Path) -> tuple[Layer, ...]:
    """Return what the configuration files say, one layer per file, strongest first.

    Args:
        app: Whose files to look for.
        environ: ``COREWISE_NO_CONFIG`` ignores all files, ``COREWISE_CONFIG_FILE`` names the only one.
        directory: Where the search begins.
    """
    switch, named = app.env_prefix + NO_CONFIG, environ.get(app.env_prefix + CONFIG_FILE, "").strip()
    try:
        if (word := environ.get(switch, "").strip()) and truth(word):
            return ()
    except ValueError as error:
        return (Layer.unreadable(problem(f"env {switch}", "", str(error), got=word)),)
    if not named:
        return tuple(_layer(app, path, directory) for path in find_files(app, environ, directory))
    path = directory / os.path.expanduser(named)  # noqa: PTH111 - never raises, Path.expanduser does
    if not path.is_file():
        wrong = "names a file that does not exist" if not path.exists() else "does not name a file"
        return (Layer.unreadable(problem(f"env {app.env_prefix}{CONFIG_FILE}", "", wrong, got=named)),)
    return (_layer(app, path, directory),)


def find_files(app: App, environ: Mapping[str, str], directory: Path) -> list[Path]:
    """Return the files that count, strongest first.

    ``NAME.local.toml`` comes before ``NAME.toml``, before pyproject.toml, before the file in the user's configuration
    directory; among files of one name the one nearest to the directory comes first.
    """
    searched = list(_upwards(directory))
    names = (f"{app.name}.local.toml", f"{app.name}.toml", PYPROJECT)
    candidates = [place / name for name in names for place in searched]
    candidates += [home / app.name / f"{app.name}.toml" for home in _user_config_home(environ)]
    return [path for path in candidates if os.path.isfile(path)]  # noqa: PTH113 - never raises, Path.is_file does


def _upwards(directory: Path) -> Iterator[Path]:
    start = Path(os.path.abspath(directory))  # noqa: PTH100 - links on the way are kept as the user sees them
    for place in (start, *start.parents):
        yield place
        if any(os.path.lexists(place / mark) for mark in (PYPROJECT, ".git")):
            return


def _user_config_home(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the user's configuration directory, as the XDG Base Directory Specification finds it."""
    given = Path(environ.get("XDG_CONFIG_HOME", ""))
    if given.is_absolute():
        yield given
    elif environ.get("HOME"):
        yield Path(environ["HOME"], ".config")


def _layer(app: App, path: Path, directory: Path) -> Layer:
    shown = _shown(path, directory)
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        return Layer.unreadable(problem(shown, "", f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        return Layer.unreadable(problem(shown, "", f"is not UTF-8 text: {error.reason} at byte {error.start}"))
    return _parsed(app, shown, text, in_project=path.name == PYPROJECT)


def _parsed(app: App, shown: str, text: str, *, in_project: bool) -> Layer:
    import tomli

    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        return Layer.unreadable(problem(f"{shown} line {error.lineno}", "", f"is not valid TOML: {error.msg}"))
    except RecursionError:
        return Layer.unreadable(problem(shown, "", "is nested too deeply"))
    prefix = ("tool", app.name, "parallel") if in_project else ("parallel",)
    table = _at(document, prefix)
    if table is None:
        return Layer()
    lines = key_lines(text)
    if not isinstance(table, dict):
        source = f"{shown} line {lines[prefix]}"
        return Layer.unreadable(problem(source, ".".join(prefix), "must be a table", got=table))
    return Layer({path: _value(value, (*prefix, *path), shown, lines) for path, value in leaves(table)})


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _value(value: Any, place: Place, shown: str, lines: Mapping[Place, int]) -> RawValue:
    elements = range(len(value)) if isinstance(value, list) else ()
    return RawValue(
        value,
        Origin("file", f"{shown} line {lines[place]}"),
        elements=tuple(Origin("file", f"{shown} line {lines[(*place, index)]}") for index in elements),
    )


def _shown(path: Path, directory: Path) -> str:
    try:
        return str(path.relative_to(os.path.abspath(directory)))  # noqa: PTH100 - as the search does
    except ValueError:
        return str(path)
