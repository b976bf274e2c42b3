"""Pin every package that this repository is developed and tested with, or check that all are pinned.

    python3 tools/pin.py            resolve anew and write the pins into pyproject.toml
    python3 tools/pin.py --check    fail if a package of the present resolution is not pinned

The pins live in ``[tool.uv]`` of pyproject.toml and name versions only. A lock file would name the package registry of
the machine that it was made on, so none is committed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

NEVER_PINNED = re.compile(r"torch|triton|nvidia-|cuda-")
"""torch comes as another build on each kind of machine, with the versions that it wants of these."""

TABLES = {
    "constraint-dependencies": ("--all-packages", "--all-groups"),
    "build-constraint-dependencies": ("--only-group", "build"),
}


def resolved(selection: tuple[str, ...]) -> list[str]:
    """Return the pins of the packages that uv selects, with the markers under which each holds."""
    command = ["uv", "export", "--quiet", "--no-hashes", "--no-header", "--no-annotate", "--no-emit-workspace"]
    listed = subprocess.run([*command, *selection], cwd=PYPROJECT.parent, check=True, capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if line and not NEVER_PINNED.match(line)]


def written(text: str, table: str, pins: list[str]) -> str:
    """Return the text of pyproject.toml with the pins of one table replaced."""
    lines = "".join(f'  "{pin}",\n' for pin in pins)
    found, count = re.subn(rf"^{table} = \[\n.*?^\]", f"{table} = [\n{lines}]", text, flags=re.MULTILINE | re.DOTALL)
    if count != 1:
        sys.exit(f"{PYPROJECT.name}: [tool.uv]: {table} must be there once, as a list over several lines; got {count}")
    return found


def renew() -> None:
    """Resolve without the present pins and write the new ones; leave the file as it was if that fails."""
    before = PYPROJECT.read_text()
    text = before
    for table in TABLES:
        text = written(text, table, [])
    PYPROJECT.write_text(text)
    try:
        subprocess.run(["uv", "lock", "--quiet", "--upgrade"], cwd=PYPROJECT.parent, check=True)
        for table, selection in TABLES.items():
            text = written(text, table, resolved(selection))
    except BaseException:
        PYPROJECT.write_text(before)
        raise
    PYPROJECT.write_text(text)


def missing() -> list[str]:
    """Return the resolved packages whose pin is not in pyproject.toml."""
    text = PYPROJECT.read_text()
    return sorted({pin for selection in TABLES.values() for pin in resolved(selection) if f'"{pin}"' not in text})


def main() -> None:
    """Renew the pins, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only check that every package is pinned")
    if not parser.parse_args().check:
        renew()
    elif names := missing():
        sys.exit(f"not pinned: {', '.join(names)}\nto mend it: python3 tools/pin.py")


if __name__ == "__main__":
    main()
