"""Distributions that look installed: a dist-info directory and a module, in a directory on ``sys.path``."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
from pathlib import Path
from typing import Self

_counter = itertools.count()


class Site:
    """A directory on ``sys.path`` that distributions are put into."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.modules: set[str] = set()

    def install(
        self, distribution: str, *, version: str = "1.0", entry_point: str | None = None, module: str = ""
    ) -> str:
        """Install a distribution with one plugin; return the name of the plugin's module.

        Args:
            distribution: Its name.
            version: Its version.
            entry_point: Name of the entry point, by default that of the distribution.
            module: Source of the plugin.
        """
        name = f"fake_plugin_{next(_counter)}"
        (self.path / f"{name}.py").write_text(textwrap.dedent(module), encoding="utf-8")
        self.modules.add(name)
        self.describe(
            distribution, version=version, entry_points=f"[corewise]\n{entry_point or distribution} = {name}\n"
        )
        return name

    def describe(self, distribution: str, *, version: str = "1.0", entry_points: str | None = None) -> Path:
        """Write the dist-info directory of a distribution."""
        info = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        if entry_points is not None:
            (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        importlib.invalidate_caches()
        return info

    def __enter__(self) -> Self:
        self.path.mkdir(exist_ok=True)
        sys.path.insert(0, str(self.path))
        importlib.invalidate_caches()
        return self

    def __exit__(self, *_: object) -> None:
        sys.path.remove(str(self.path))
        for name in self.modules:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
