import itertools
import json
import sys
from pathlib import Path

import attrs
import pytest

import corewise
from corewise.cli import main

_numbers = itertools.count()


@attrs.frozen
class Outcome:
    code: int
    out: str
    err: str


@attrs.frozen
class Project:
    """A directory with one module of functions, in which commands run."""

    path: Path
    module: str
    run: object

    def write(self, name, text, encoding="utf-8"):
        path = self.path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    def map(self, function, source, *arguments):
        return self.run("map", f"{self.module}:{function}", str(source), *map(str, arguments))

    def rows(self, name):
        return [json.loads(line) for line in (self.path / name).read_text().splitlines()]

    def names(self):
        return sorted(path.name for path in self.path.iterdir() if path.suffix != ".py" and path.name != "__pycache__")


FUNCTIONS = """
import os

def upper(text): return text.upper()
def same(item): return item
def odd(text):
    number = int(text)
    if number % 2 == 0:
        raise ValueError(f"{number} is even")
    return number
def noisy(text):
    print("noise")
    os.system("echo deep noise")
    return text
def unprintable(text): return object()
value = 7
"""


@pytest.fixture
def project(tmp_path, monkeypatch, capfd):
    module = f"functions_{next(_numbers)}"
    (tmp_path / f"{module}.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COREWISE_NO_CONFIG", "1")

    def run(*arguments):
        capfd.readouterr()
        try:
            code = main(arguments)
        finally:
            corewise.reset()
        out, err = capfd.readouterr()
        return Outcome(int(code), out, err)

    yield Project(tmp_path, module, run)
    corewise.reset()
    sys.modules.pop(module, None)
