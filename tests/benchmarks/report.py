"""Measure on the running interpreter and write the table of docs/explanation/performance.md.

uv run python tests/benchmarks/report.py            print the table
uv run python tests/benchmarks/report.py --write    put it in the page, in the place of this interpreter's last one
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/performance.md"
HEAD = ("what", "corewise", "peer", "result", "goal")


def measured() -> list[list[str]]:
    """Run the benchmarks and return their rows."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", "-q", "tests/benchmarks", "-p", "no:cacheprovider"]
        options = ["--benchmark-enable", "--benchmark-only", f"--benchmark-json={report}", "--timeout=600"]
        # Installed packages have bytecode, so our sources get theirs too: the first of the starts writes it.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run([*command, *options], cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
        benchmarks = json.loads(report.read_text())["benchmarks"]
    return [found["extra_info"]["row"] for found in benchmarks if "row" in found["extra_info"]]


def interpreter() -> str:
    """Return the implementation and minor version: what a table is kept by."""
    free = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", free-threaded"
    return f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}{free}"


def section(rows: list[list[str]]) -> str:
    """Return the section of this interpreter."""
    facts = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {cpus()} CPUs."
    lines = [f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD), *rows)]
    return "\n".join([f"## {interpreter()}", "", facts, "", *lines, ""])


def cpus() -> int:
    """Return how many CPUs the process may use."""
    return len(os.sched_getaffinity(0))


def with_section(page: str, new: str) -> str:
    """Return the page with the section of this interpreter replaced, or added at the end."""
    old = re.compile(rf"^{re.escape(new.splitlines()[0])}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if old.search(page):
        return old.sub(lambda _: new + "\n", page, count=1).rstrip() + "\n"
    return f"{page.rstrip()}\n\n{new}"


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write to {PAGE.relative_to(ROOT)}")
    write = parser.parse_args().write
    new = section(measured())
    print(new)
    if write:
        PAGE.write_text(with_section(PAGE.read_text(), new))


if __name__ == "__main__":
    main()
