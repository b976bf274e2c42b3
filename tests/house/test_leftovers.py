import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

LEAKS = {
    "environment": "import os; os.environ['LEFT'] = '1'",
    "signal handlers": "import signal; signal.signal(signal.SIGTERM, lambda *_: None)",
    "thread limits": "import numpy, threadpoolctl; threadpoolctl.threadpool_limits(1)",
    "import hooks": "import sys; F = type('F', (), {'__module__': 'corewise.x', 'find_spec': lambda *_: None}); "
    "sys.meta_path.append(F())",
    "runtime": "import corewise; corewise.configure(num_cpus=1)",
    "threads": "import threading; KEEP.append(e := threading.Event()); threading.Thread(target=e.wait).start()",
    "child processes": "import subprocess, sys; KEEP.append(subprocess.Popen(['true']))",
    "file descriptors": "import os; os.open('/etc/hostname', os.O_RDONLY)",
    "shared memory": "open(leftovers.SHARED_MEMORY + '/corewise-block', 'w').close()",
}
INNER = """
import threading

import leftovers
import numpy
import pytest
import threadpoolctl

KEEP = []

@pytest.fixture(scope="module", autouse=True)
def tidy():
    threadpoolctl.threadpool_limits(2)
    yield
    [kept.set() for kept in KEEP if isinstance(kept, threading.Event)]

@pytest.fixture(scope="module", autouse=True)
def quick_and_apart(tmp_path_factory):
    leftovers.SETTLE_SECONDS = 0.2
    leftovers.SHARED_MEMORY = str(tmp_path_factory.mktemp("shm"))

def test_clean():
    thread = threading.Thread(target=int)
    thread.start()
"""


def verdicts(tmp_path, source, *options):
    """Run the source as a test file under the house's conftest; return the errors of each test by its name."""
    for name in ("conftest.py", "kit"):
        (tmp_path / name).symlink_to(TESTS / name)
    (tmp_path / "test_inner.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = kit\nmarkers = leaves\n")
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", f"--junitxml={report}", *options]
    subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, timeout=60)
    return {
        case.get("name"): " ".join(error.get("message") for error in case.iter("error"))
        for case in ET.parse(report).iter("testcase")
    }


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    names = {kind: f"test_{kind.replace(' ', '_')}" for kind in LEAKS}
    source = INNER + "".join(f"\ndef {names[kind]}():\n    {leak}\n" for kind, leak in LEAKS.items())
    found = verdicts(tmp_path_factory.mktemp("leaking"), source)
    return {kind: found[name] for kind, name in names.items()} | {"clean": found["test_clean"]}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_test_that_leaves_something_behind_fails_and_says_what(leaking, kind):
    assert f"left behind: {kind}: " in leaking[kind]


def test_a_thread_that_is_about_to_end_is_no_leftover(leaking):
    assert not leaking["clean"]


def test_a_test_may_leave_what_its_marker_names(tmp_path):
    mark = "import pytest\n@pytest.mark.leaves('environment')\ndef test_allowed():\n    "
    assert verdicts(tmp_path, mark + LEAKS["environment"]) == {"test_allowed": ""}


def test_an_orphan_that_outlives_the_run_fails_the_run(tmp_path):
    orphan = (
        "import subprocess\n"
        "def test_orphan(quick=None):\n"
        "    import leftovers\n"
        "    leftovers.SETTLE_SECONDS = 0.2\n"
        "    subprocess.run('sleep 20 & echo $! > pid', shell=True)\n"
    )
    found = verdicts(tmp_path, orphan)
    subprocess.run(["kill", (tmp_path / "pid").read_text().strip()], check=True)
    assert "sleep 20" in found["test_orphan"]
