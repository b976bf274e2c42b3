"""Runs a piece of Python in a fresh process and returns what it reports: limits of libraries last as long as a process.

The code calls ``report(value)`` once, with something that JSON can carry. Two helpers are there: ``in_thread(fn)``
gives what ``fn`` returns in a new thread, and ``outcome(name)`` the state, asked and live number of a backend.
"""

import json
import os
import subprocess
import sys
import textwrap

__all__ = ["fresh"]

LIMITING = ("_NUM_THREADS", "_MAX_THREADS", "COREWISE_", "_COREWISE_", "KMP_")

PRELUDE = """
import json, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import corewise

def in_thread(fn):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fn).result()

def outcome(name):
    found = next(each for each in corewise.backend_outcomes() if each.backend == name)
    return [found.state.value, found.asked, found.threads]

def report(value):
    print("REPORT" + json.dumps(value))
"""


def fresh(code, *, variables=None, warnings="error"):
    """Run the code with no limiting variable in the environment but those given; return what it reported."""
    clean = {name: value for name, value in os.environ.items() if not any(part in name for part in LIMITING)}
    program = PRELUDE + textwrap.dedent(code)
    environ = {**clean, "COREWISE_NO_CONFIG": "1", "PYTHONWARNINGS": warnings, **(variables or {})}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, timeout=100, check=False
    )
    reported = [line.removeprefix("REPORT") for line in done.stdout.splitlines() if line.startswith("REPORT")]
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    assert done.stderr == "", done.stderr
    assert len(reported) == 1, done.stdout
    return json.loads(reported[0])
