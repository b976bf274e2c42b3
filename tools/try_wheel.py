"""Use the installed distributions as a user does, away from the sources; run by the interpreter that has them."""

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

COMMAND = str(Path(sys.prefix) / "bin/corewise")


def run(*arguments: str) -> str:
    """Run the command and return what it prints."""
    done = subprocess.run([COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        sys.exit(f"corewise {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check(fact: object, text: str) -> None:
    """End with the text unless the fact holds."""
    if not fact:
        sys.exit(text)


def main() -> None:
    """Import every public name, run the command, and find every plugin by its entry point."""
    corewise = importlib.import_module("corewise")
    home = Path(corewise.__file__).parent
    check(home.is_relative_to(sys.prefix), f"corewise is imported from {home}, not from the wheel")
    check((home / "py.typed").exists(), "the wheel has no py.typed")
    for name in corewise.__all__:
        getattr(corewise, name)
    run("--help")
    installed = {point.name for point in entry_points(group="corewise")}
    active = {record["name"] for record in json.loads(run("plugins", "--json")) if record["state"] == "active"}
    check(
        installed and installed <= active, f"not active: {', '.join(sorted(installed - active)) or 'no plugin at all'}"
    )
    print(f"{len(corewise.__all__)} public names, active plugins: {', '.join(sorted(active))}")


if __name__ == "__main__":
    main()
