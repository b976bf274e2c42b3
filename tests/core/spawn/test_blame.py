"""Calls that answer later share a worker: the one that ends it is found, and the others are answered."""

import pytest
import spawned

import corewise
from corewise.builtin.spawn import jobs
from corewise.errors import ItemTimeoutError, WorkerDiedError
from corewise.executors.failure import Failure


@pytest.fixture
def alone():
    with corewise.actors(spawned.Sleeper, 3, num_workers=1, executor="spawn") as pool:
        yield pool
    corewise.reset()


def died(future):
    error = spawned.outcome(future)
    assert isinstance(error, WorkerDiedError), error
    return error


def test_a_call_that_dies_where_many_wait_for_each_other_is_charged_alone(alone, tmp_path):
    path = str(tmp_path / "runs")
    before = [alone.call("meet", 20, x) for x in range(10)]
    deadly = alone.call("die", path)
    behind = [alone.call("meet", 20, x) for x in range(10, 20)]
    assert died(deadly).exitcode == 3
    assert [future.result(60) for future in [*before, *behind]] == [3 * x for x in range(20)]
    assert 2 <= spawned.runs(path) <= 4, "twice more where others were being loaded when it died"


def test_a_call_is_charged_with_what_its_tasks_do(alone):
    waiting = [alone.call("meet", 5, x) for x in range(4)]
    deadly = alone.call("die_in_task")
    assert died(deadly).exitcode == 3
    assert [future.result(60) for future in [*waiting, alone.call("meet", 5, 4)]] == [0, 3, 6, 9, 12]


@pytest.mark.parametrize("method", ["die_in_thread", "die_unseen"])
@pytest.mark.parametrize("seconds", [0.0, 0.15])
def test_a_call_whose_thread_ends_the_worker_is_found_though_no_step_of_it_runs(alone, method, seconds):
    waiting = [alone.call("meet", 5, x) for x in range(4)]
    deadly = alone.call(method, seconds)
    assert died(deadly).exitcode == 3
    assert [future.result(60) for future in [*waiting, alone.call("meet", 5, 4)]] == [0, 3, 6, 9, 12]


def test_a_call_that_dies_in_a_thread_is_told_from_others_that_are_at_work(alone):
    working = [alone.call("work", 300, x) for x in range(5)]
    deadly = alone.call("die_in_thread", 0.01)
    assert died(deadly).exitcode == 3
    assert [future.result(60) for future in working] == list(range(5))


def test_what_an_answered_call_leaves_behind_is_laid_to_nobody(alone):
    waiting = [alone.call("meet", 4, x) for x in range(3)]
    first = alone.call("pid").result(60)
    assert alone.call("die_afterwards").result(60) == "answered"
    spawned.wait_until_gone(first)
    assert [future.result(60) for future in [*waiting, alone.call("meet", 4, 3)]] == [0, 3, 6, 9]


def test_an_argument_that_ends_the_worker_where_others_are_at_work_fails_alone(alone):
    working = [alone.call("work", 100, x) for x in range(10)]
    deadly = [alone.call("work", 1, spawned.Deadly()) for _ in range(2)]
    working += [alone.call("work", 100, x) for x in range(10, 20)]
    assert [died(future).exitcode for future in deadly] == [5, 5]
    assert [future.result(60) for future in working] == list(range(20))


def test_a_call_that_never_shows_itself_ends_with_those_beside_it_and_not_never(alone, monkeypatch):
    monkeypatch.setattr(jobs, "TRIAL", 0.0001)
    late = alone.call("die_unseen", 0.2)
    waiting = alone.call("meet", 2, 1)
    assert "7 workers ended with this call and others in them, nobody knows by which" in str(died(late))
    assert "7 workers ended with this call and others in them, nobody knows by which" in str(died(waiting))
    assert alone.call("meet", 1, 5).result(60) == 15


def test_one_item_of_a_message_of_many_is_charged(alone, tmp_path):
    path = str(tmp_path / "runs")
    items = [0.0, 0.0, path, 0.0, 0.0, 0.0]
    found = list(alone.map("sleep_or_die", items, chunksize=6, on_error="return"))
    assert [x.index for x in found if isinstance(x, Failure)] == [2]
    assert [x for x in found if not isinstance(x, Failure)] == [0.0] * 5
    assert 2 <= spawned.runs(path) <= 4


def test_plain_calls_that_have_not_begun_are_not_charged(tmp_path):
    path = str(tmp_path / "runs")
    with corewise.actors(spawned.Plain, num_workers=1, executor="spawn") as pool:
        before = [pool.call("work", x) for x in range(10)]
        deadly = pool.call("die", path)
        behind = [pool.call("work", x) for x in range(10, 20)]
        assert died(deadly).exitcode == 3
        assert [future.result(60) for future in [*before, *behind]] == list(range(20))
    corewise.reset()
    assert spawned.runs(path) == 2


def test_the_clock_of_a_call_does_not_count_the_making_of_its_object(tmp_path):
    with corewise.actors(spawned.SlowToMake, num_workers=1, executor="spawn") as pool:
        spawned.kill(pool.call("pid").result(60))
        found = list(pool.map("work", range(4), item_timeout=0.6))
    corewise.reset()
    assert found == [0, 1, 2, 3]


def test_a_call_that_holds_the_event_loop_runs_out_of_time_and_not_those_behind_it(alone):
    items = [0.0, 0.0, 600.0, 0.0, 0.0]
    found = list(alone.map("block", items, item_timeout=0.5, on_error="return"))
    assert [x.index for x in found if isinstance(x, Failure)] == [2]
    assert isinstance(next(x for x in found if isinstance(x, Failure)).error, ItemTimeoutError)


def test_a_child_that_a_call_forks_ends_with_its_step_whatever_the_others_wait_for(alone):
    assert [*alone.map("fork", [False, True], chunksize=2, item_timeout=30)] == ["waited", "forked"]


def test_a_child_that_a_call_forks_in_a_thread_ends_with_it(alone, tmp_path):
    assert alone.call("fork_in_thread", str(tmp_path / "runs")).result(60) == "from the parent"


def test_what_comes_behind_a_task_that_forks_runs_once_and_in_the_worker(tmp_path):
    paths = [str(tmp_path / f"{number}") for number in range(40)]
    with corewise.executor("spawn", workers=1) as pool:
        assert [*pool.map(spawned.fork_and_return, paths[:4], chunksize=4)] == ["from the parent"] * 4
        assert pool.submit(spawned.double, 1).result(60) == 2, "so that the others are sent together"
        futures = [pool.submit(spawned.fork_and_return, path) for path in paths[4:]]
        assert [future.result(60) for future in futures] == ["from the parent"] * 36
    corewise.reset()
    assert [spawned.runs(path) for path in paths] == [1] * 40


def test_a_child_that_comes_back_from_its_task_ends_with_the_code_that_the_task_asked_for():
    errors = [None, SystemExit(7), SystemExit(), SystemExit("why"), ValueError("only in the child")]
    with corewise.executor("spawn", workers=1) as pool:
        assert [*pool.map(spawned.exit_code_of_child, errors, chunksize=5)] == [0, 7, 0, 1, 1]
        assert [pool.submit(spawned.exit_code_of_child, error).result(60) for error in errors] == [0, 7, 0, 1, 1]
    corewise.reset()
