"""Functions and classes of ``__main__`` travel, however the program was started."""

import os
import subprocess
import sys
import textwrap
import zipfile

import pytest
import spawned

SCRIPT = f"""
import sys
sys.path.insert(0, {spawned.KIT!r})
import pickle
import spawned

class Point:
    def __init__(self, x):
        self.x = x

def shift(point, by=1):
    return Point(point.x + by)

class Factor:
    def __call__(self, point):
        return shift(point).x * FACTOR

FACTOR = 10
"""
USE = """
with spawned.make_executor() as executor:
    points = [executor.submit(shift, Point(x)).result() for x in range(3)]
    assert [type(point) for point in points] == [Point] * 3
    print([point.x for point in points])
    print(list(executor.map(Factor(), points)))
    print(list(executor.map(lambda point: point.x * FACTOR, points)))
"""
ANSWER = "[1, 2, 3]\n[20, 30, 40]\n[10, 20, 30]\n"
GUARD = 'if __name__ == "__main__":'


def guarded():
    return SCRIPT + GUARD + textwrap.indent(USE, "    ")


def run(*arguments, cwd=None, stdin=None):
    program = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert program.stderr == ""
    assert program.returncode == 0
    return program.stdout


def test_a_script_with_a_guard(tmp_path):
    (tmp_path / "script.py").write_text(guarded())
    assert run(str(tmp_path / "script.py")) == ANSWER


def test_a_script_without_a_guard_is_not_run_again(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT + USE)
    assert run("script.py", cwd=tmp_path) == ANSWER


def test_a_package_run_by_name(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("FROM_PACKAGE = 5\n")
    (package / "__main__.py").write_text(
        guarded() + "    from . import FROM_PACKAGE\n"
        "    with spawned.make_executor() as executor:\n"
        "        print(executor.submit(lambda: FROM_PACKAGE).result())\n"
    )
    assert run("-m", "package", cwd=tmp_path) == ANSWER + "5\n"


def test_standard_input():
    assert run("-", stdin=SCRIPT + USE) == ANSWER


def test_the_command_line():
    assert run("-c", SCRIPT + USE) == ANSWER


def test_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", "from inside import answer\n" + guarded() + "    print(answer())\n")
        archive.writestr("inside.py", "def answer():\n    return 42\n")
    assert run(str(tmp_path / "app.pyz")) == ANSWER + "42\n"


def test_a_notebook():
    notebook = f"import __main__; __main__.__ipython_session__ = True; __main__.__file__ = {os.devnull!r}\n"
    assert run("-c", notebook + SCRIPT + USE) == ANSWER


def test_a_name_of_the_main_module_in_a_pickle_is_found_by_running_the_script(tmp_path):
    (tmp_path / "script.py").write_text(
        SCRIPT + "print('running', __name__)\n" + GUARD + "\n    with spawned.make_executor(1) as executor:\n"
        "        data = pickle.dumps(Point(3))\n"
        "        print(executor.submit(lambda: pickle.loads(data).x).result())\n"
    )
    assert run(str(tmp_path / "script.py")) == "running __main__\nrunning __mp_main__\n3\n"


def test_a_script_that_would_start_pools_without_end_is_told_to_guard_itself(tmp_path):
    (tmp_path / "script.py").write_text(
        SCRIPT + "with spawned.make_executor(1) as executor:\n"
        "    data = pickle.dumps(Point(3))\n"
        "    try:\n"
        "        executor.submit(lambda: pickle.loads(data).x).result()\n"
        "    except RuntimeError as error:\n"
        "        print(error)\n"
    )
    assert run(str(tmp_path / "script.py")) == (
        "this script starts a pool when it is imported, and a worker is importing it: "
        "put what starts work under `if __name__ == '__main__':`\n"
    )


@pytest.mark.parametrize("how", [["-m", "package"], ["package"]], ids=["by name", "as a directory"])
def test_a_package_without_a_guard_is_not_run_again(how, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("print('running', __name__)\n" + SCRIPT + USE)
    assert run(*how, cwd=tmp_path) == "running __main__\n" + ANSWER


@pytest.mark.parametrize("options", [["-O"], ["-X", "utf8=1"], ["-W", "error::ResourceWarning"], ["-I"], ["-B"]])
def test_a_worker_runs_with_the_options_of_its_program(options):
    code = SCRIPT + (
        "def options():\n"
        "    import os, sys\n"
        "    return tuple(sys.flags), sys.warnoptions, sys._xoptions\n"
        "with spawned.make_executor(1) as executor:\n"
        "    theirs = executor.submit(options).result()\n"
        "    print(theirs == options() or (theirs, options()))\n"
    )
    assert run(*options, "-c", code) == "True\n"
