import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is installed for one Python only")

HERE = Path(__file__).parents[3]


def example(folder, *options):
    """Run the README's example in a shell; return its exit code, its rows and its failures."""
    output = folder / "complexity.jsonl"
    command = [Path(sys.executable).with_name("corewise"), "map", "examples.complexity:analyse", "-o", output, *options]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=110, check=False)
    failures = folder / "complexity.errors.jsonl"
    assert failures.exists(), done.stderr
    failed = [json.loads(line)["item"] for line in failures.read_text().splitlines()]
    return done.returncode, output.read_text(), failed


def test_the_readmes_example_on_ray_writes_what_it_writes_without(tmp_path, ray_options, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", ray_options["_temp_dir"])
    source = tmp_path / "source"
    shutil.copytree(Path(os.__file__).parent / "asyncio", source, ignore=shutil.ignore_patterns("__pycache__"))
    files = len(list(source.iterdir()))
    (source / "broken.py").write_text("def nothing of Python")
    serial, on_ray = tmp_path / "serial", tmp_path / "ray"
    for folder in (serial, on_ray):
        folder.mkdir()
    code, rows, failed = example(on_ray, "--files", f"{source}/*.py", "--executor", "ray", "--jobs", "2")
    assert code == 1
    assert failed == [str(source / "broken.py")]
    assert len(rows.splitlines()) == files
    assert (code, rows, failed) == example(serial, "--files", f"{source}/*.py", "--executor", "serial")
