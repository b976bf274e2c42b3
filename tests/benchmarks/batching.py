"""Measure batchers side by side, and write the tables of docs/explanation/performance-batching.md.

uv run python tests/benchmarks/batching.py            print the section of this interpreter
uv run python tests/benchmarks/batching.py --write    put it in the page, in the place of this interpreter's last one

Libraries that are not installed are left out. The best of several rounds is shown. Where a batch function does
nothing, all contenders take short turns in one process; else each has one of its own.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import random
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

from report import ROOT, cpus, interpreter, with_section

sys.path.append(str(ROOT / "tests/kit"))
from batchers import CONTENDERS, closed_loop, echo, one_gather

PAGE = ROOT / "docs/explanation/performance-batching.md"
ENOUGH = 1.0  # seconds of turns
GATHERED = 100_000
RATE, SECONDS = 5_000, 3.0
FIXED, EACH = 0.005, 1e-5  # seconds that a batch takes, and each of its items


def in_turns(run, requests):
    """Return what measures the microseconds per request of each contender.

    They take short turns in one process, for what else the machine does changes from second to second; the best turn
    of each counts, which that disturbs least.
    """

    async def measure(makes):
        batchers = {name: make(echo, False) for name, make in makes.items()}
        took = {name: [] for name in makes}
        while going := [name for name in makes if sum(took[name]) < ENOUGH]:
            for name in going:
                gc.collect()
                begin = time.perf_counter()
                await run(batchers[name], requests)
                took[name].append(time.perf_counter() - begin)
        return {name: [min(turns) / requests * 1e6] for name, turns in took.items()}

    return measure


def each(measure):
    """Return what measures contenders one after the other, by a function that measures one."""

    async def measure_each(makes):
        return {name: await measure(make) for name, make in makes.items()}

    return measure_each


async def memory(make):
    """Return the bytes that a request takes while it waits behind a batch that runs."""
    opened = asyncio.Event()

    async def wait(items):
        await opened.wait()
        return items

    batched = make(wait, False)
    first = asyncio.ensure_future(batched(-1))
    await asyncio.sleep(0.05)
    gc.collect()
    before = resident()
    waiting = [asyncio.ensure_future(batched(number)) for number in range(GATHERED)]
    for _ in range(3):
        await asyncio.sleep(0.01)
    taken = resident() - before
    opened.set()
    await asyncio.gather(first, *waiting)
    return [taken / GATHERED]


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_open_loop(*, blocking):
    async def measure(make):
        return await latencies(make(sleep_blocking if blocking else sleep_awaiting, blocking))

    return each(measure)


def sleep_blocking(items):
    time.sleep(FIXED + EACH * len(items))
    return items


async def sleep_awaiting(items):
    await asyncio.sleep(FIXED + EACH * len(items))
    return items


async def latencies(batched):
    """Return the 50th and 99th percentile, in milliseconds, of answers to requests that come at random times."""
    await batched(0)
    chance, at, arrivals = random.Random(11), 0.0, []  # noqa: S311 - the same arrivals for everyone
    while at < SECONDS:
        at += chance.expovariate(RATE)
        arrivals.append(at)
    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.02
    took = []

    async def request(arrival):
        await batched(arrival)
        took.append(loop.time() - begin - arrival)

    async with asyncio.timeout(SECONDS * 5), asyncio.TaskGroup() as group:
        for arrival in arrivals:
            if arrival > loop.time() - begin:
                await asyncio.sleep(arrival - (loop.time() - begin))
            group.create_task(request(arrival))
    took.sort()
    return [took[int(len(took) * share)] * 1e3 for share in (0.5, 0.99)]


TOGETHER = {
    f"{callers:,} caller{'s'[: callers > 1]}, µs": in_turns(partial(closed_loop, callers=callers), requests)
    for callers, requests in ((1, 500), (100, 10_000), (10_000, 100_000))
}
TOGETHER["one gather of 100,000, µs"] = in_turns(one_gather, GATHERED)
ALONE = {
    "waiting, bytes": each(memory),
    "awaiting, p50 / p99 ms": in_open_loop(blocking=False),
    "blocking, p50 / p99 ms": in_open_loop(blocking=True),
}
MEASURES = TOGETHER | ALONE
TABLES = {
    "A request to a batch function that does nothing": list(MEASURES)[:5],
    "5,000 requests per second into a batch function that takes 5 ms and 10 µs per item": list(MEASURES)[5:],
}


async def installed():
    """Return the contenders that can be made here, each with its version."""
    found = {}
    for name, (make, distribution) in CONTENDERS.items():
        try:
            make(echo, False)
            found[name] = f"{distribution} {version(distribution)}"
        except ImportError as missing:  # also where an extra of the distribution is missing
            print(f"{name} is left out: {missing}", file=sys.stderr)
    return found


def measured(names, rounds):
    """Return for each contender and measure the best values of all rounds; None where there was no answer in time."""
    found = {(name, what): None for name in names for what in MEASURES}
    for turn in range(rounds):
        for what in MEASURES:
            for group in [names] if what in TOGETHER else [[name] for name in names]:
                command = [sys.executable, __file__, "--child", what, *group]
                done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                answer = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
                print(f"{turn + 1}/{rounds}  {what}: {answer}", file=sys.stderr, flush=True)
                for name, values in answer.items():
                    best = found[name, what] or values
                    found[name, what] = [min(pair) for pair in zip(best, values, strict=True)]
    return found


def cell(values):
    return "-" if values is None else " / ".join(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in values)


def table(title, measures, found, names):
    """Return a table: a line for each contender, and one for our cost as a share of the hand-written loop's."""
    lines = [f"| {title} | {' | '.join(measures)} |", f"| {' | '.join(['---'] * (len(measures) + 1))} |"]
    lines += [f"| {name} | {' | '.join(cell(found[name, what]) for what in measures)} |" for name in names]
    ratios = (
        [a / b for a, b in zip(found["corewise", what], found["hand-written loop", what], strict=True)]
        for what in measures
    )
    return [*lines, f"| *corewise / hand-written loop* | {' | '.join(map(cell, ratios))} |", ""]


def section(found, contenders, rounds):
    """Return the section of this interpreter."""
    facts = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {cpus()} CPUs; the best"
    versions = ", ".join(dict.fromkeys(contenders.values()))
    lines = [f"## {interpreter()}", "", f"{facts} of {rounds} rounds. {versions}.", ""]
    for title, measures in TABLES.items():
        lines += table(title, measures, found, list(contenders))
    return "\n".join(lines)


def child(what, *names):
    """Measure contenders, and leave without waiting for what they have left running."""
    print(json.dumps(asyncio.run(MEASURES[what]({name: CONTENDERS[name][0] for name in names}))), flush=True)
    os._exit(0)


def main():
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write to {PAGE.relative_to(ROOT)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
    contenders = asyncio.run(installed())
    new = section(measured(contenders, options.rounds), contenders, options.rounds)
    print(new)
    if options.write:
        PAGE.write_text(with_section(PAGE.read_text(), new))


if __name__ == "__main__":
    main()
