"""Calls that answer later: a worker takes more of them while they wait."""

import asyncio

import pytest
import spawned

import corewise
from corewise.errors import WorkerDiedError
from corewise.executors.chunks import ChunkOutcome
from corewise.executors.deferred import Answer, Deferred, settled
from corewise.executors.stepping import SteppingLoop


@pytest.fixture
def sleepers():
    with corewise.actors(spawned.Sleeper, 3, num_workers=1, executor="spawn") as pool:
        yield pool
    corewise.reset()


def test_calls_of_async_methods_are_in_their_worker_at_once(sleepers):
    futures = [sleepers.call("meet", 20, x) for x in range(20)]
    assert [future.result(60) for future in futures] == [3 * x for x in range(20)]


def test_a_call_that_ends_the_worker_fails_after_a_few_tries_and_the_object_is_made_again(sleepers, tmp_path):
    path = str(tmp_path / "runs")
    first = sleepers.call("pid").result(60)
    error = spawned.outcome(sleepers.call("die", path))
    assert isinstance(error, WorkerDiedError)
    assert error.exitcode == 3
    assert 2 <= spawned.runs(path) <= 4, "the pool tries it twice, and actors may ask it again"
    assert sleepers.call("pid").result(60) != first
    assert sleepers.call("meet", 1, 5).result(60) == 15


def test_calls_that_waited_in_a_worker_that_was_killed_are_tried_again(sleepers):
    waiting = [sleepers.call("meet", 3, x) for x in range(2)]
    worker = sleepers.call("pid").result(60)
    spawned.kill(worker)
    futures = [*waiting, sleepers.call("meet", 3, 2)]
    assert [future.result(60) for future in futures] == [0, 3, 6]


@pytest.mark.parametrize(("seconds", "expected"), [([200.0, 100.0], 301.0), ([200.0, None], 1.0)])
def test_the_time_of_calls_that_ran_in_one_go_is_theirs_and_not_that_of_what_they_waited_behind(seconds, expected):
    answers = [Answer() for _ in seconds]
    outcomes = []
    settled(ChunkOutcome([Deferred(answer) for answer in answers], None, 1.0), outcomes.append)
    for answer, each in zip(answers, seconds, strict=True):
        answer.seconds = each
        answer.set_result("done")
    assert [outcome.results for outcome in outcomes] == [["done", "done"]]
    assert expected <= outcomes[0].seconds < expected + 100


class Bystander:
    """A witness whom nothing surprises."""

    def call(self):
        return 1

    def runs(self, call):
        pass


async def straight():
    pass


async def turning():
    await asyncio.sleep(0)


@pytest.mark.parametrize(("call", "steps"), [(straight, 0), (turning, 1)])
def test_a_loop_counts_the_steps_of_calls_so_that_one_that_waited_can_be_told(call, steps):
    async def counted():
        before = loop.steps
        await call()
        return loop.steps - before

    loop = SteppingLoop(Bystander())
    try:
        loop.call_soon(lambda: None)
        task = loop.create_task(counted(), context=loop.context_of_call())
        assert loop.run_until_complete(task) == steps
    finally:
        loop.close()


def test_an_async_method_that_waits_for_nothing_reports_at_least_the_time_that_it_took(sleepers):
    outcome = sleepers.send(0, [("call", "busy", (0.02,), {})] * 3).result(60)
    assert outcome.seconds >= sum(outcome.results) >= 0.06
