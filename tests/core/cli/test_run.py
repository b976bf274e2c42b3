import os
import signal
import subprocess
import sys

import pytest
from fresh_process import LIMITING

CLEAN = {name: value for name, value in os.environ.items() if not any(part in name for part in LIMITING)}
SHOW = "import json, os, sys; print(json.dumps([os.environ.get('OMP_NUM_THREADS'), sys.argv[1:]]))"


def run(*program, **variables):
    command = [
        sys.executable,
        "-c",
        "import sys; from corewise.cli import main; sys.exit(main())",
        "run",
        "--",
        *program,
    ]
    environ = {**CLEAN, "COREWISE_NO_CONFIG": "1", **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)


def test_a_program_is_limited_and_gets_its_arguments_as_they_are():
    done = run(sys.executable, "-c", SHOW, "--json", "-x", COREWISE_NUM_CPUS="8", COREWISE_NUM_THREADS="2")
    assert done.stdout == '["4", ["--json", "-x"]]\n', done.stderr


@pytest.mark.parametrize("option", ["--version", "--help", "-h", "--"])
def test_what_stands_behind_the_name_of_a_program_belongs_to_it(option):
    command = [sys.executable, "-c", "import sys; from corewise.cli import main; sys.exit(main())", "run"]
    program = ["printf", "%s|", "a", option, "b"]
    done = subprocess.run([*command, *program], capture_output=True, text=True, env=CLEAN, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"a|{option}|b|"), done.stderr


def test_a_variable_of_the_user_is_passed_on():
    assert run(sys.executable, "-c", SHOW, OMP_NUM_THREADS="9").stdout == '["9", []]\n'


def test_the_exit_code_and_the_signal_are_the_programs_own():
    assert run("sh", "-c", "exit 7").returncode == 7
    assert run("sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_a_program_that_is_not_there_and_no_program_are_errors_of_one_line(project):
    missing = project.run("run", "--", "no-such-program")
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert "no-such-program: no such program is on PATH" in missing.err
    assert project.run("run").code == 2
    assert "corewise run -- PROGRAM" in project.run("run").err
