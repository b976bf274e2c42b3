import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md"), ROOT / "core/README.md"]
)

RUNNABLE = re.compile(r"^<!-- runnable -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def runnable_blocks():
    for page in PAGES:
        text = page.read_text()
        for found in RUNNABLE.finditer(text):
            number = text.count("\n", 0, found.start(1)) + 1
            yield pytest.param(found[1], id=f"{page.relative_to(ROOT)}:{number}")


@pytest.mark.parametrize("block", list(runnable_blocks()))
def test_a_block_marked_runnable_runs_as_a_script(tmp_path, block):
    script = tmp_path / "block.py"
    script.write_text(block)
    # The one warning that a page cannot help: whether threads have a GIL depends on who runs it.
    command = [sys.executable, "-W", "error", "-W", "ignore:executor 'threads'", str(script)]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr


def test_every_mark_stands_right_above_a_python_block():
    for page in PAGES:
        text = page.read_text()
        marks = len(re.findall(r"^<!-- runnable -->$", text, re.MULTILINE))
        assert marks == len(RUNNABLE.findall(text)), page.relative_to(ROOT)


def test_every_link_to_a_file_of_this_repository_resolves():
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in LINK.findall(FENCE.sub("", page.read_text()))
        if "://" not in target and not target.startswith(("#", "mailto:"))
        if not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not broken
