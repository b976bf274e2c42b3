import asyncio

import pytest
from batchers import LeastBatcher, closed_loop, echo, one_gather

import corewise


@pytest.mark.parametrize(("callers", "requests"), [(1, 20_000), (100, 100_000), (10_000, 100_000)])
def test_cost_of_a_request_in_a_closed_loop(compare, request, callers, requests):
    requests = requests if request.config.getoption("benchmark_enable") else callers
    ours, least = corewise.BatchedFunction(echo), LeastBatcher(echo)
    compare(
        f"request to a batched no-op, {callers:,} in a closed loop",
        lambda: asyncio.run(closed_loop(ours, requests, callers=callers)),
        lambda: asyncio.run(closed_loop(least, requests, callers=callers)),
        named="hand-written loop",
        rounds=7,
        per=requests,
        goal="at most 1.3",
    )


def test_cost_of_a_request_in_one_gather(compare, request):
    requests = 100_000 if request.config.getoption("benchmark_enable") else 100
    ours, least = corewise.BatchedFunction(echo), LeastBatcher(echo)
    compare(
        f"request to a batched no-op, {requests:,} in one gather",
        lambda: asyncio.run(one_gather(ours, requests)),
        lambda: asyncio.run(one_gather(least, requests)),
        named="hand-written loop",
        rounds=7,
        per=requests,
    )
