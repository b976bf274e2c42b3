"""Add up the JUnit reports of several runs of the same tests, and fail where a test never really ran.

    python3 tools/verdict.py DIRECTORY

A test counts once, whatever the number of runs: as failed where one run failed it, as passed where one passed it, and
as skipped where no run did anything else. The last one is an error: such a test proves nothing anywhere. A module that
was skipped as a whole has one entry, by its own name, which counts as passed where another run passed a test of it.
"""

import sys
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from pathlib import Path

OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def outcomes(report: Path) -> dict[str, str]:
    """Return the outcome of each test of one run; a test whose fixture fails after it passed has failed."""
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own pytest wrote it
        name = f"{case.get('classname')}::{case.get('name')}"
        outcome = next((OUTCOMES[child.tag] for child in case if child.tag in OUTCOMES), "passed")
        found[name] = worse(outcome, found.get(name))
    return found


def worse(outcome: str, other: str | None) -> str:
    """Return the outcome that counts within one run."""
    return "failed" if "failed" in (outcome, other) else outcome


def verdict(runs: list[set[str]]) -> str:
    """Return the outcome of one test over all runs."""
    seen = set().union(*runs)
    return next(outcome for outcome in ("failed", "passed", "skipped") if outcome in seen)


def line(counts: Counter[str]) -> str:
    """Return the counts as a line for people and programs."""
    return f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"


def main(directory: Path) -> int:
    """Print a line per run, the tests that failed or never ran, and the closing line."""
    seen: dict[str, list[set[str]]] = defaultdict(list)
    for report in sorted(directory.glob("*.xml")):
        run = outcomes(report)
        print(f"{report.stem:24} {line(Counter(run.values()))}")
        for test, outcome in run.items():
            seen[test].append({outcome})
    total = {test: verdict(runs) for test, runs in seen.items()}
    for test in [test for test, outcome in total.items() if outcome == "skipped" and test.startswith("::")]:
        module = test.removeprefix("::")
        if any(each.startswith((f"{module}.", f"{module}::")) and total[each] == "passed" for each in total):
            total[test] = "passed"
    for test, outcome in sorted(total.items()):
        if outcome != "passed":
            print(f"{outcome}{' in every run' if outcome == 'skipped' else ''}: {test}")
    print(line(Counter(total.values())))
    return int(not total or set(total.values()) != {"passed"})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
