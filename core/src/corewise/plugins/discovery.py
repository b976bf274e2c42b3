"""Find the plugins that are installed, importing none of them.

The loop is corewise's own: pluggy's stops at the first entry point that is broken and hides duplicates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from typing import Any

import attrs

from corewise.plugins.installed import Distribution, distributions, entry_points
from corewise.plugins.records import describe

__all__ = ["GROUP", "FoundPlugin", "find_plugins", "load_object"]

GROUP = "corewise"
"""The group of entry points that name plugins."""
_FILE = "entry_points.txt"
_OBJECT = re.compile(r"(?P<module>[\w.]+)\s*(:\s*(?P<attribute>[\w.]+)\s*)?(\[.*\]\s*)?$")
"""What an entry point names, as the packaging specifications (Entry points: data model) have it."""


@attrs.frozen(kw_only=True)
class FoundPlugin:
    """An entry point of a plugin; can be pickled, so that a worker need not search again.

    Attributes:
        name: Name of the entry point.
        module: What it names: ``module`` or ``module:attribute``.
        distribution: Name of the distribution that brings it, in its normalized form.
        version: Version of that distribution; empty where its metadata has none.
        problem: Why it cannot be read, empty where it can.
    """

    name: str
    module: str
    distribution: str
    version: str = ""
    problem: str = ""


def find_plugins() -> tuple[FoundPlugin, ...]:
    """Return the entry points of group ``corewise`` of all distributions on ``sys.path``.

    Of a distribution that is on the path twice, the first one counts, as for ``importlib.metadata.distribution``.

    Returns:
        Built-in ones first, the others sorted by name.

    Example:
        >>> all(plugin.name.isidentifier() for plugin in find_plugins())
        True
    """
    found = (plugin for distribution, text in _distributions() for plugin in _plugins_of(distribution, text))
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (one.distribution != GROUP, one.name, one.distribution)))


def load_object(module: str) -> Any:
    """Import what an entry point names.

    Args:
        module: As ``FoundPlugin.module``, and sound.
    """
    match = _OBJECT.match(module)
    if match is None:
        raise ValueError(f"{module!r} names no module")
    attribute = match["attribute"]
    loaded = import_module(match["module"])
    return loaded if attribute is None else attrgetter(attribute)(loaded)


def _distributions() -> Iterator[tuple[Distribution, str]]:
    """Give each distribution that has entry points of the group, once, with their text."""
    first: dict[str, Distribution] = {}
    with_plugins: list[str] = []
    for distribution in distributions():
        key = distribution.key
        first.setdefault(key, distribution)
        if f"[{GROUP}]" in distribution.text(_FILE):
            with_plugins.append(key)
    for key in dict.fromkeys(with_plugins):
        yield first[key], first[key].text(_FILE)


def _plugins_of(distribution: Distribution, text: str) -> Iterator[FoundPlugin]:
    name, version = distribution.key, distribution.header("version")
    try:
        entries = list(entry_points(text, GROUP))
    except ValueError as error:
        problem = f"its {_FILE} cannot be read ({describe(error)})"
        yield FoundPlugin(name=name, module="", distribution=name, version=version, problem=problem)
        return
    for entry, module in entries:
        problem = "" if _OBJECT.match(module) else f"its entry point {module!r} names no module"
        yield FoundPlugin(name=entry, module=module, distribution=name, version=version, problem=problem)
