import subprocess
import sys
from pathlib import Path

import pytest

VERDICT = Path(__file__).parents[2] / "tools/verdict.py"

PASSED, SKIPPED = "", "<skipped/>"
FAILED, ERROR = "<failure/>", "<error/>"


def verdict(tmp_path, *runs):
    """Run the tool on one report per run, each a list of (test, outcome); return its exit code and last line."""
    for number, run in enumerate(runs):
        cases = "".join(f"<testcase classname='m' name='{test}'>{outcome}</testcase>" for test, outcome in run)
        (tmp_path / f"run{number}.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    command = [sys.executable, VERDICT, tmp_path]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()[-1]


def test_a_module_that_is_skipped_as_a_whole_counts_where_another_run_passed_a_test_of_it(tmp_path):
    (tmp_path / "old.xml").write_text("<testsuite><testcase classname='a.b.C' name='t'/></testsuite>")
    skipped = "<testsuite><testcase classname='' name='{}'><skipped/></testcase></testsuite>"
    (tmp_path / "new.xml").write_text(skipped.format("a.b"))
    assert verdict(tmp_path) == (0, "2 passed, 0 failed, 0 skipped")
    (tmp_path / "other.xml").write_text(skipped.format("a"))
    assert verdict(tmp_path)[0] == 0
    (tmp_path / "other.xml").write_text(skipped.format("b"))
    assert verdict(tmp_path) == (1, "2 passed, 0 failed, 1 skipped")


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([[("a", PASSED), ("b", PASSED)]], (0, "2 passed, 0 failed, 0 skipped")),
        ([[("a", PASSED)], [("a", SKIPPED)]], (0, "1 passed, 0 failed, 0 skipped")),
        ([[("a", SKIPPED)], [("a", SKIPPED)]], (1, "0 passed, 0 failed, 1 skipped")),
        ([[("a", PASSED)], [("a", FAILED)]], (1, "0 passed, 1 failed, 0 skipped")),
        ([[("a", PASSED), ("a", ERROR)]], (1, "0 passed, 1 failed, 0 skipped")),
        ([[]], (1, "0 passed, 0 failed, 0 skipped")),
        ([], (1, "0 passed, 0 failed, 0 skipped")),
    ],
    ids=[
        "all pass",
        "skipped in one run",
        "skipped in every run",
        "fails in one run",
        "teardown fails",
        "no tests",
        "no runs",
    ],
)
def test_a_test_counts_once_over_all_runs(tmp_path, runs, expected):
    assert verdict(tmp_path, *runs) == expected
