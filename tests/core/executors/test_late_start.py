import importlib
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from corewise.executors.late_start import start_before


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Let three modules be importable that say when they were."""
    for name in ("wanted_one", "wanted_two", "other"):
        (tmp_path / f"{name}.py").write_text("import late_start_log\nlate_start_log.events.append(__name__)\n")
    (tmp_path / "late_start_log.py").write_text("events = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    finders = sys.meta_path
    yield importlib.import_module("late_start_log").events
    sys.meta_path = finders
    for name in ("wanted_one", "wanted_two", "other", "late_start_log"):
        sys.modules.pop(name, None)


def test_the_start_comes_once_and_right_before_the_first_of_the_modules(modules):
    start_before(["wanted_one", "wanted_two"], lambda: modules.append("start"))
    importlib.import_module("other")
    importlib.import_module("wanted_two")
    importlib.import_module("wanted_one")
    assert modules == ["other", "start", "wanted_two", "wanted_one"]


def test_the_start_comes_now_where_one_of_the_modules_is_there(modules):
    importlib.import_module("wanted_one")
    start_before(["wanted_one", "wanted_two"], lambda: modules.append("start"))
    assert modules == ["wanted_one", "start"]


def test_a_later_start_takes_the_place_of_an_earlier_one(modules):
    start_before(["wanted_one"], lambda: modules.append("first"))
    start_before(["wanted_one"], lambda: modules.append("second"))
    importlib.import_module("wanted_one")
    assert modules == ["second", "wanted_one"]


def test_without_names_nothing_is_put_off_any_more(modules):
    start_before(["wanted_one"], lambda: modules.append("first"))
    start_before([], lambda: modules.append("second"))
    importlib.import_module("wanted_one")
    assert modules == ["wanted_one"]


def test_a_finder_that_the_start_installs_sees_the_module(modules):
    class Finder:
        def find_spec(self, fullname, path, target=None):
            modules.append(f"found {fullname}")

    start_before(["wanted_one"], lambda: sys.meta_path.insert(0, Finder()))
    importlib.import_module("wanted_one")
    assert modules == ["found wanted_one", "wanted_one"]


def test_a_start_that_fails_is_logged_and_the_import_goes_on(modules, caplog):
    def fail():
        raise OSError("no such share")

    start_before(["wanted_one"], fail)
    with caplog.at_level(logging.ERROR, "corewise"):
        importlib.import_module("wanted_one")
    assert modules == ["wanted_one"]
    assert "no such share" in caplog.text


def test_threads_that_import_at_once_start_once(modules):
    barrier = Barrier(2)

    def import_at_once(name):
        barrier.wait(30)
        importlib.import_module(name)

    for _ in range(50):
        modules.clear()
        for name in ("wanted_one", "wanted_two"):
            sys.modules.pop(name, None)
        start_before(["wanted_one", "wanted_two"], lambda: modules.append("start"))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(import_at_once, ["wanted_one", "wanted_two"]))
        assert modules.count("start") == 1


PROGRAM = """
import sys
import corewise

def has_settings():
    return "corewise.runtime" in sys.modules

if __name__ == "__main__":
    with corewise.executor("spawn", workers=1) as pool:
        print(pool.submit(has_settings).result(30))
"""


def test_a_worker_process_loads_no_settings_before_it_needs_them():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
