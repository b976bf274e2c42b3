"""The reference page of the settings, made from the same model as they are read with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from corewise.settings.app import COREWISE
from corewise.settings.model import BackendSettings, ParallelSettings, PluginSettings
from corewise.settings.schema import field_texts

__all__ = ["reference_page"]

_HEAD = """\
# Settings

<!-- Written by `uv run python -m corewise.settings.schema --write docs/reference`; do not edit. -->

Every key stands in table `[parallel]` of `corewise.toml`, or in `[tool.corewise.parallel]` of `pyproject.toml`; the
rest of those files is left alone. [settings.schema.json](settings.schema.json) is the same as JSON schema.

## Keys

| key | variable | default | meaning |
|---|---|---|---|
"""

_REST = """
`backends.NAME` and `executors.NAME` may have more keys: a plugin's settings class decides, and `corewise schema` shows
those of the plugins that are installed. `corewise settings` shows what holds here, and where each value comes from.

## Which source wins

From the strongest to the weakest, key by key:

1. a keyword argument, as in `ensure_parallel_init(num_threads=4)`;
2. the environment; a variable that is empty says nothing;
3. `corewise.local.toml`;
4. `corewise.toml`;
5. `[tool.corewise.parallel]` in `pyproject.toml`;
6. `corewise/corewise.toml` in the user's configuration directory (`$XDG_CONFIG_HOME`, else `~/.config`);
7. the default of a plugin;
8. the default above.

`use_ray = true` is the same as `executor = "ray"`: where two sources contradict each other in that, the stronger one
holds, and a source that contradicts itself is an error. Capitals in the name of a variable do not matter; two spellings
of one variable that differ are an error.

Files are searched in the working directory and upwards from it; the search stops after the first directory that holds
`pyproject.toml` or `.git`. Among files of one name the nearest wins. `COREWISE_CONFIG_FILE` names one file to read
instead of all these; `COREWISE_NO_CONFIG=1` ignores all files.

## How values are written

Files are TOML 1.1 and are taken strictly: `"4"` is not 4. Variables are text and are taken leniently: `yes`, `on` and
`1` are true, `a,b` is an array, and two underscores go one table deeper. Capitals of a plugin's name are ignored there.

## Applications

`App("lenskit", env_prefix="LK_")` makes another application's names the source: `LK_NUM_THREADS`, `LK_CONFIG_FILE`,
`LK_NO_CONFIG`, `lenskit.toml`, `lenskit.local.toml`, `[tool.lenskit.parallel]` and `~/.config/lenskit/lenskit.toml`.
"""


def reference_page() -> str:
    """Return the page as Markdown."""
    return _HEAD + "".join(f"{row}\n" for row in _rows(ParallelSettings, ())) + _REST


def _rows(cls: type, path: tuple[str, ...]) -> Iterator[str]:
    texts = field_texts(cls)
    for field in attrs.fields(cls):
        here = (*path, field.name)
        if field.name == "plugins":
            yield from _rows(PluginSettings, here)
        elif field.name == "backends":
            yield from _rows(BackendSettings, (*here, "NAME"))
        elif field.name == "executors":
            yield _row((*here, "NAME", "…"), "the plugin's", texts[field.name])
        else:
            yield _row(here, f"`{_toml(field.default)}`", texts[field.name])


def _row(path: tuple[str, ...], default: str, text: str) -> str:
    return f"| `{'.'.join(path)}` | `{COREWISE.variable(*path)}` | {default} | {text} |"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
