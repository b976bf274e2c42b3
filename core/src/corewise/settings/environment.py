"""The environment as a source: ``COREWISE_NUM_THREADS``, ``COREWISE_BACKENDS__TORCH__THREADS``."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from corewise.settings.app import App
from corewise.settings.messages import dotted, problem
from corewise.settings.model import Origin, ParallelSettings
from corewise.settings.raw import KeyPath, Layer, RawValue

__all__ = ["CONFIG_FILE", "NO_CONFIG", "environment_layer", "truth"]

CONFIG_FILE = "CONFIG_FILE"
NO_CONFIG = "NO_CONFIG"

_TRUTH = {
    **dict.fromkeys(("1", "true", "yes", "on", "y", "t"), True),
    **dict.fromkeys(("0", "false", "no", "off", "n", "f"), False),
}


def truth(text: str) -> bool:
    """Return what a word means: yes or no.

    Raises:
        ValueError: It is no such word.

    Example:
        >>> truth("Yes"), truth("0")
        (True, False)
    """
    meaning = _TRUTH.get(text.strip().lower())
    if meaning is None:
        raise ValueError("must be yes or no")
    return meaning


def environment_layer(app: App, environ: Mapping[str, str]) -> Layer:
    """Return what the variables of an application say; a variable that is empty says nothing.

    Capitals do not matter, so two variables may spell one key: where they differ, nobody knows which one is meant.

    Args:
        app: Whose variables to look for.
        environ: The variables.
    """
    spelled: dict[KeyPath, list[str]] = {}
    keys = {field.name for field in attrs.fields(ParallelSettings)}
    for variable in sorted(environ):
        rest = variable.removeprefix(app.env_prefix)
        if rest == variable or not environ[variable].strip() or rest in (CONFIG_FILE, NO_CONFIG):
            continue
        path = tuple(rest.lower().split("__"))
        if path[0] in keys or app.owns_prefix:
            spelled.setdefault(path, []).append(variable)
    doubtful = {path: names for path, names in spelled.items() if len({environ[name].strip() for name in names}) > 1}
    values = {
        path: RawValue(environ[names[0]], Origin("env", names[0]), text=True)
        for path, names in spelled.items()
        if path not in doubtful
    }
    return Layer(values, tuple(_differ(path, names, environ) for path, names in doubtful.items()), tuple(doubtful))


def _differ(path: KeyPath, names: list[str], environ: Mapping[str, str]) -> str:
    source = " and ".join(f"env {name}" for name in names)
    return problem(source, dotted(path), "are spellings of one variable, and differ", got=[environ[n] for n in names])
