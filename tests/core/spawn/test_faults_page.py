"""Lets every fault happen in every way, and keeps the page that shows what a caller gets up to date."""

import os
import re
from pathlib import Path

import pytest
from faults import CASES, FAULTS, NARROW, WAYS, seen

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/explanation/spawn-faults.md"
COMMAND = "WRITE_PAGE=1 uv run pytest tests/core/spawn/test_faults_page.py"
SECONDS = re.compile(r"\d+\.\d\d s")

HEAD = f"""\
<!-- Written by tests/core/spawn/test_faults_page.py; to write it anew: {COMMAND} -->
# What goes wrong in a worker, and what a caller gets

Each row is a fault that really happened, to one of twelve items on a pool of two workers: what the caller gets for that
item, how often the item ran, and how long all took, the start and the end of the pool included. Every item works with
a large array and returns one. *Lost* counts the other items without their own result, *left* the processes and the
blocks of shared memory that exist when the pool has ended. Where all items meet the fault, *every item* has it.

*actors* call a plain method, *async actors* an async one, where all calls of a worker are in it at once: one that ends
its worker while another is being loaded runs once or twice more. How the pool does it:
[The spawn pool](spawn-pool.md).

"""


@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_fault_costs_the_item_at_fault_and_leaves_nothing(name, way):
    found = seen(name, way)
    assert (found.lost, found.processes, found.blocks) == (0, 0, 0)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_the_same_in_every_way(name):
    first, *others = (seen(name, way) for way in FAULTS[name].ways())
    assert {each.got for each in others} <= {first.got}
    runs = [each.runs for each in others]
    if runs and "async actors" in FAULTS[name].ways() and "WorkerDiedError" in first.got:
        # Nobody is charged where another call was just being loaded: then all that ran do so again, and one by one.
        assert first.runs <= runs.pop() <= first.runs + 2
    assert set(runs) <= {first.runs}


def row(name):
    found = {way: seen(name, way) for way in FAULTS[name].ways()}
    first = next(iter(found.values()))
    got = ("every item: " if FAULTS[name].all_fail else "") + first.got
    times = [f"{found[way].seconds:.2f} s" if way in found else "" for way in WAYS]
    lost = sum(each.lost for each in found.values())
    left = f"{sum(each.processes for each in found.values())} / {sum(each.blocks for each in found.values())}"
    return "| " + " | ".join([name, got, str(first.runs or ""), *times, str(lost), left]) + " |"


@pytest.mark.skipif(NARROW, reason="only one way of each fault is tried here")
@pytest.mark.timeout(400)  # where it runs alone, every fault happens in it
def test_the_page_of_faults_is_up_to_date_but_for_the_times():
    heads = ["fault", "the caller gets", "runs", *WAYS, "lost", "left: processes / blocks"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|", *map(row, FAULTS)]
    text = HEAD + "\n".join(lines) + "\n"
    if os.environ.get("WRITE_PAGE"):
        PAGE.write_text(text)
    written = PAGE.read_text() if PAGE.exists() else ""
    assert SECONDS.sub("", written) == SECONDS.sub("", text), f"{PAGE.relative_to(ROOT)} is stale; run: {COMMAND}"
