"""Whose names the settings go by: another library may make its own variables and files the source."""

from __future__ import annotations

import re

import attrs

__all__ = ["COREWISE", "App"]


def _prefix(_: App, attribute: attrs.Attribute[str], value: str) -> None:
    if not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_", value):
        raise ValueError(f"{attribute.name} must be capitals that end in one underscore, like 'LK_', got {value!r}")


@attrs.frozen
class App:
    """An application whose names the settings go by.

    Attributes:
        name: Name of its files (``NAME.toml``, ``NAME.local.toml``), of its table ``[tool.NAME]`` in pyproject.toml
            and of its directory among the user's configuration.
        env_prefix: What its environment variables begin with, like ``LK_``; default the name in capitals and ``_``.
        owns_prefix: Whether every variable with this prefix is a setting, so that an unknown one is an error. An
            application has variables of its own, so only corewise does.

    Example:
        >>> App("lenskit", env_prefix="LK_").variable("num_threads")
        'LK_NUM_THREADS'
    """

    name: str = attrs.field(validator=attrs.validators.matches_re(r"[A-Za-z][\w.-]*"))
    env_prefix: str = attrs.field(
        default=attrs.Factory(lambda self: re.sub(r"\W", "_", self.name).upper() + "_", takes_self=True),
        validator=_prefix,
    )
    owns_prefix: bool = attrs.field(
        default=attrs.Factory(lambda self: self.env_prefix == "COREWISE_", takes_self=True), kw_only=True
    )

    def variable(self, *path: str) -> str:
        """Return the environment variable of a key, given part by part."""
        return self.env_prefix + "__".join(path).upper()


COREWISE = App("corewise")
"""The names that hold where no application says otherwise."""
