import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import potentials
import pytest
from pool_object import call_peer, make

import corewise

AT_ONCE = 64
KINDS = [(potentials.Potential, "sync"), (potentials.AsyncPotential, "async")]


@pytest.fixture
def contestants(request, monkeypatch):
    """Calls of an object over two processes: ours, and those of a ProcessPoolExecutor with an initializer."""
    monkeypatch.setenv("COREWISE_NO_CONFIG", "1")
    kind = request.param
    with (
        asyncio.Runner() as runner,
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), make, (kind,)) as peer,
    ):
        many = runner.run(corewise.multiprocess.create(kind, 2))

        async def all_of(call, calls, arguments):
            async def caller():
                for _ in range(calls // AT_ONCE):
                    await call(*arguments)

            await asyncio.gather(*(caller() for _ in range(AT_ONCE)))

        def ours(method, calls, *arguments):
            runner.run(all_of(getattr(many, method), calls, arguments))

        def theirs(method, calls, *arguments):
            in_peer = runner.get_loop().run_in_executor
            runner.run(all_of(lambda *each: in_peer(peer, call_peer, method, *each), calls, arguments))

        yield ours, theirs
        runner.run(many.aclose())
    corewise.reset()


@pytest.mark.parametrize(("contestants", "which"), KINDS, indirect=["contestants"])
def test_cost_of_a_call_over_two_processes(compare, request, contestants, which):
    calls = AT_ONCE * (100 if request.config.getoption("benchmark_enable") else 1)
    ours, theirs = contestants
    compare(
        f"call of an object with {which} methods over 2 processes, {AT_ONCE} at once",
        lambda: ours("times", calls, 1),
        lambda: theirs("times", calls, 1),
        named="ProcessPoolExecutor with initializer",
        rounds=7,
        per=calls,
        goal="at most 0.25",
    )


@pytest.mark.parametrize(("contestants", "which"), KINDS, indirect=["contestants"])
def test_throughput_of_large_results(compare, request, contestants, which):
    calls = AT_ONCE * (10 if request.config.getoption("benchmark_enable") else 1)
    ours, theirs = contestants
    compare(
        f"1 MiB float32 result of an object with {which} methods over 2 processes",
        lambda: ours("vector", calls, 1 << 18),
        lambda: theirs("vector", calls, 1 << 18),
        named="ProcessPoolExecutor with initializer",
        rounds=5,
        per=calls,
        goal="at least 5 times",
        show="speedup",
    )
