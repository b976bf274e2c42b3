"""A plugin that is built and installed by a package installer, with corewise itself as a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CORE = Path(__file__).parents[2] / "core"

PROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "corewise-example"
version = "0.3.1"
dependencies = ["corewise"]

[project.entry-points.corewise]
example = "corewise_example.plugin"
"""

PLUGIN = """
from concurrent.futures import ThreadPoolExecutor

import corewise
from corewise.executors.contract import ExecutorFactory


@corewise.hookimpl
def corewise_executors():
    return [ExecutorFactory(name="example", create=lambda request: ThreadPoolExecutor(request.workers))]
"""


class FreshEnvironment:
    """A virtual environment of its own, which knows nothing of the one that the tests run in."""

    def __init__(self, path: Path) -> None:
        self.python = path / "bin" / "python"
        # Without the variables of the outer environment uv and Python look at the new one only.
        outer = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH"}
        self.variables = {name: value for name, value in os.environ.items() if name not in outer}
        self.uv("venv", "--python", sys.executable, str(path))

    def uv(self, *arguments: str) -> None:
        """Run uv, and raise with what it printed where it fails."""
        program = shutil.which("uv")
        if program is None:
            raise RuntimeError("uv is not on the path; install it with `python3 -m pip install uv`")
        self._run([program, *arguments])

    def install(self, *what: str) -> None:
        """Install wheels or source trees into the environment."""
        self.uv("pip", "install", "--python", str(self.python), *what)

    def run(self, code: str) -> str:
        """Run a piece of Python in the environment and return what it printed."""
        return self._run([str(self.python), "-W", "error", "-c", code])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=self.variables,
            cwd=self.python.anchor,
            timeout=100,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def write_plugin(path: Path) -> Path:
    """Write the source tree of the plugin; return its directory."""
    package = path / "src" / "corewise_example"
    package.mkdir(parents=True)
    (path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    return path
