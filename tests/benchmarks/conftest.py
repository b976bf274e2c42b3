"""Benchmarks that compare: the peer is measured in the same run, in turns with ours, and medians are divided.

Without ``--benchmark-enable`` each side runs once, as a plain test. No benchmark asserts a time.
"""

from statistics import median
from time import perf_counter

import pytest

PREFIXES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def as_time(seconds):
    """Return a duration with three digits, in the unit that fits it."""
    factor, unit = next((pair for pair in PREFIXES if abs(seconds) >= pair[0]), PREFIXES[-1])
    return f"{seconds / factor:.3g} {unit}"


@pytest.fixture
def compare(benchmark):
    """Return the function that measures two ways of doing the same.

    It takes what the row is about, our way and the peer's (both called without arguments; a
    peer in a process of its own returns its seconds), the peer's name, how many
    rounds each runs, by how many operations a round is divided, what is shown (``ratio``: ours over the peer's,
    ``speedup``: the other way round, ``difference``: ours less the peer's) and the goal as text.
    """

    def measure(what, ours, peer, *, named, rounds=5, per=1, show="ratio", goal="-"):
        peer_seconds = []

        def run_peer():
            begin = perf_counter()
            measured = peer()
            peer_seconds.append(measured if isinstance(measured, float) else perf_counter() - begin)

        benchmark.pedantic(ours, setup=run_peer, rounds=rounds, warmup_rounds=1)
        if benchmark.enabled:
            ours_median = benchmark.stats.stats.median / per
            peer_median = median(peer_seconds) / per
            result = {
                "ratio": lambda: f"{ours_median / peer_median:.3g}",
                "speedup": lambda: f"{peer_median / ours_median:.2f} times",
                "difference": lambda: as_time(ours_median - peer_median),
            }[show]()
            row = [what, as_time(ours_median), f"{as_time(peer_median)} ({named})", f"{result} ({show})", goal]
            benchmark.extra_info["row"] = row

    return measure


@pytest.fixture
def row(benchmark):
    """Return the function that notes a row of no time: what, ours, the peer's, the result, the goal."""

    def note(*cells):
        benchmark.pedantic(lambda: None)
        if benchmark.enabled:
            benchmark.extra_info["row"] = list(cells)

    return note


def pytest_terminal_summary(terminalreporter, config):
    """Print the rows of this run."""
    session = getattr(config, "_benchmarksession", None)
    rows = [bench.extra_info["row"] for bench in session.benchmarks if "row" in bench.extra_info] if session else []
    if rows:
        terminalreporter.section("corewise against its peers")
        for row in rows:
            terminalreporter.write_line("  |  ".join(row))
