import asyncio
import threading

import potentials
import pytest

import corewise

uvloop = pytest.importorskip("uvloop", reason="uvloop is not for Windows")

# Its first loop opens a pipe that all later ones share.
pytestmark = pytest.mark.leaves("file descriptors")


@pytest.fixture(params=["async", "blocking"])
def double(request):
    """Return a batch function that refuses 13."""

    def blocking(items):
        if 13 in items:
            raise ValueError("unlucky")
        return [2 * item for item in items]

    async def waiting(items):
        await asyncio.sleep(0)
        return blocking(items)

    return blocking if request.param == "blocking" else waiting


def run(main):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def test_under_uvloop_requests_of_one_turn_travel_together_in_one_loop_after_the_other(double):
    batched = corewise.BatchedFunction(double)

    async def main():
        return await asyncio.gather(*(batched(item) for item in range(10)))

    assert [run(main) for _ in range(3)] == [list(range(0, 20, 2))] * 3
    assert batched.stats().batches == 3
    batched.close()


def test_under_uvloop_a_bad_item_and_a_caller_who_leaves_harm_nobody(double):
    async def main():
        async with corewise.BatchedFunction(double) as batched:
            replies = [batched(item) for item in range(20)]
            replies[7].cancel()
            return await asyncio.gather(*replies, return_exceptions=True)

    answers = run(main)
    assert isinstance(answers[7], asyncio.CancelledError)
    assert isinstance(answers[13], ValueError)
    assert all(answers[item] == 2 * item for item in range(20) if item not in {7, 13})


def test_under_uvloop_a_delayed_batch_leaves_and_closing_drains(double):
    async def main():
        batched = corewise.BatchedFunction(double, max_delay=0.01)
        assert await batched(1) == 2
        reply = batched(2)
        await batched.aclose()
        assert reply.result() == 4
        with pytest.raises(corewise.ClosedError):
            await batched(3)

    run(main)


def test_under_uvloop_a_loop_that_ends_with_requests_pending_leaves_the_batcher_fit_for_the_next_one():
    held = threading.Event()

    async def stuck_once(items):
        if not held.is_set():
            held.set()
            await asyncio.get_running_loop().create_future()
        return items

    batched = corewise.BatchedFunction(stuck_once)

    async def leave():
        batched(1)
        await asyncio.sleep(0.01)

    async def ask():
        return await batched(2)

    run(leave)
    assert held.is_set()
    assert run(ask) == 2


def test_under_uvloop_an_object_spreads_over_processes(monkeypatch):
    monkeypatch.setenv("COREWISE_NO_CONFIG", "1")

    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 2) as many:
            return await asyncio.gather(*(many.times(x) for x in range(100)))

    assert run(main) == list(range(100))
    corewise.reset()
