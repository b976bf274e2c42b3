import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUN_EXAMPLES = """
import doctest, importlib, sys
counts = [doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS) for name in sys.argv[1:]]
print(sum(count.attempted for count in counts), "examples")
sys.exit(any(count.failed for count in counts))
"""


def modules_with_examples():
    """Return the names of all modules whose source has an example for the interactive prompt."""
    folders = [ROOT / "core/src", *ROOT.glob("plugins/*/src")]
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if ">>> " in path.read_text():
                yield ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


def test_every_example_in_a_docstring_runs_and_gives_what_it_says(tmp_path):
    command = [sys.executable, "-c", RUN_EXAMPLES, *modules_with_examples()]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(run.stdout.splitlines()[-1].split()[0]) > 0
