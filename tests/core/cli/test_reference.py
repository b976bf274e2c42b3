import subprocess
import sys
from pathlib import Path

from corewise.cli.reference import reference_page

PAGE = Path(__file__).parents[3] / "docs/reference/cli.md"
COMMAND = "uv run python -m corewise.cli.reference --write docs/reference"


def test_the_committed_page_is_fresh():
    assert PAGE.read_text() == reference_page(), f"docs/reference/cli.md is stale; run: {COMMAND}"


def test_the_command_prints_the_page_and_writes_it(tmp_path):
    command = [sys.executable, "-m", "corewise.cli.reference"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    subprocess.run([*command, "--write", str(tmp_path)], check=True)
    assert (tmp_path / "cli.md").read_text() == printed == reference_page()


def test_every_command_is_on_the_page():
    for name in ("map", "run", "doctor", "settings", "plugins", "schema"):
        assert f"## corewise {name}\n" in reference_page()


def test_naming_a_command_imports_no_other_command():
    code = (
        "import sys; from corewise.cli import main; main(['schema']); print('corewise.cli.map_command' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
