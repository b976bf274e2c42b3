import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[3]
SOURCE = """
def outer(a):
    if a and a > 1 or a < -1:
        for x in a:
            while x:
                pass
    elif a:
        pass
    def inner():
        return [y for y in a if y]
class C:
    async def method(self):
        try:
            pass
        except ValueError:
            pass
"""


@pytest.fixture
def complexity(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import examples.complexity

    yield examples.complexity
    del sys.modules["examples.complexity"], sys.modules["examples"]


@pytest.mark.filterwarnings("default")
def test_the_example_measures_every_function(complexity, tmp_path):
    (tmp_path / "some.py").write_text(SOURCE)
    found = {each["name"]: each for each in complexity.analyse(str(tmp_path / "some.py"))["functions"]}
    assert found["outer"] == {"name": "outer", "line": 2, "complexity": 7, "nesting": 3}
    assert found["outer.inner"]["complexity"] == 2
    assert found["C.method"] == {"name": "C.method", "line": 12, "complexity": 2, "nesting": 1}


def test_the_first_command_of_the_readme_works_on_a_part_of_the_standard_library(tmp_path):
    where = [sys.executable, "examples/complexity.py", "--where"]
    library = subprocess.run(where, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
    output = tmp_path / "complexity.jsonl"
    corewise = Path(sys.executable).with_name("corewise")
    command = [corewise, "map", "examples.complexity:analyse", "--files", f"{library}/json/*.py", "-o", output]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(output.read_text().splitlines()) == len(list(Path(library, "json").glob("*.py")))
    table = subprocess.run(
        [sys.executable, "examples/complexity.py", output], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout
    assert "py_scanstring" in table
    assert json.loads(output.read_text().splitlines()[0])["index"] == 0
