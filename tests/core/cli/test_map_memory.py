import os
import subprocess
import sys

import pytest

# The kernel's own high-water mark of this process; that of its parent would be among what wait4 tells.
RUN_AND_TELL_PEAK = """
import re, sys
from corewise.cli import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(code)
"""
ALLOWANCE = 16 << 10
"""Kilobytes. Holding a long input or its rows would take more than 60 MB."""


def peak(place, source, executor, stdin=subprocess.DEVNULL):
    arguments = ["map", "work:same", source, "-o", "out.jsonl", "--executor", executor, "--jobs", "2"]
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_TELL_PEAK, *arguments],
        cwd=place,
        env={**os.environ, "COREWISE_NO_CONFIG": "1"},
        stdin=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "work.py").write_text("def same(item): return item\n")
    return tmp_path


@pytest.mark.parametrize("executor", ["serial", "threads", "spawn"])
def test_a_hundred_times_more_lines_need_no_more_memory(place, executor):
    peaks = []
    for lines in (3_000, 300_000):
        (place / "in.txt").write_text("".join(f"{number:0100d}\n" for number in range(lines)))
        peaks.append(peak(place, "in.txt", executor))
    assert (place / "out.jsonl").read_bytes().count(b"\n") == 300_000
    assert peaks[1] < peaks[0] + ALLOWANCE, peaks


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("in.csv", "number,text\n", "{0},{0:0700d}\n"),
        ("in.jsonl", "", '{{"number": {0}, "text": "{0:0700d}"}}\n'),
        ("-", "", "{0:0700d}\n"),
    ],
)
def test_rows_and_values_and_standard_input_are_not_held_either(place, name, head, row):
    peaks = []
    for lines in (1_000, 100_000):
        (place / "in").write_text(head + "".join(map(row.format, range(lines))))
        if name != "-":
            (place / "in").replace(place / name)
        with (place / "in" if name == "-" else place / name).open("rb") as stdin:
            peaks.append(peak(place, name, "serial", stdin))
    assert (place / "out.jsonl").read_bytes().count(b"\n") == 100_000
    assert peaks[1] < peaks[0] + ALLOWANCE, peaks
