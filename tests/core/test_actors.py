import asyncio
import concurrent.futures
import contextlib
import threading

import engines
import potentials
import pytest
import residents

import corewise
from corewise.actor_pool import ActorPool
from corewise.executors.resident import Resident

pytestmark = pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setenv("COREWISE_NO_CONFIG", "1")
    corewise.reset()
    corewise.configure(num_cpus=4)
    yield
    corewise.reset()


@pytest.fixture(params=["serial", "threads"])
def kind(request):
    return request.param


def test_each_worker_makes_its_own_object_once(kind):
    with corewise.actors(residents.Counter, 10, num_workers=2, executor=kind) as pool:
        assert pool.num_workers == (1 if kind == "serial" else 2)
        firsts = [future.result(60) for future in pool.each("add", 1)]
        assert firsts == [11] * pool.num_workers
        assert [future.result(60) for future in pool.each("add", 1)] == [12] * pool.num_workers


def test_calls_take_positional_and_keyword_arguments(kind):
    with corewise.actors(dict, a=1, num_workers=1, executor=kind) as pool:
        assert pool.call("get", "a").result(60) == 1
        assert pool.call("get", "b", 7).result(60) == 7
        assert pool.call("update", c=3).result(60) is None
        assert pool.call("get", "c").result(60) == 3


def test_a_factory_that_raises_raises_here(kind):
    with pytest.raises(ValueError, match="no model"):
        corewise.actors(residents.refuse, num_workers=2, executor=kind)


def test_an_error_of_a_method_is_the_callers(kind):
    with corewise.actors(residents.Counter, num_workers=1, executor=kind) as pool:
        with pytest.raises(AttributeError, match="no_such_method"):
            pool.call("no_such_method").result(60)
        assert pool.call("add", 2).result(60) == 2


def test_map_has_the_options_of_executors(kind):
    with corewise.actors(residents.Counter, num_workers=2, executor=kind) as pool:
        assert list(pool.map("double", range(100))) == [2 * x for x in range(100)]
        assert sorted(pool.map("double", range(100), ordered=False)) == [2 * x for x in range(100)]
        assert list(pool.map("divide", [4, 4], [2, 0], on_error="skip")) == [2]
        with pytest.raises(ZeroDivisionError) as caught:
            list(pool.map("divide", [4, 4], [2, 0]))
        assert caught.value.__notes__ == ["map: item 1"]


def test_async_methods_and_factories_are_awaited(kind):
    with corewise.actors(residents.make_async, num_workers=1, executor=kind) as pool:
        assert pool.call("echo", 5).result(60) == 5
        assert pool.call("plain", 5).result(60) == 6
        assert list(pool.map("echo", range(50))) == list(range(50))
        with pytest.raises(KeyError):
            pool.call("fail").result(60)


def test_async_methods_of_one_object_run_at_once_and_answer_out_of_order():
    with corewise.actors(residents.Gate, num_workers=1, executor="threads") as pool:
        waiting = pool.call("wait")
        assert pool.call("open").result(60) == "opened"
        assert waiting.result(60) == "through"


def test_no_more_async_calls_run_at_once_than_max_concurrency():
    with corewise.actors(residents.Gate, num_workers=1, executor="threads", max_concurrency=3) as pool:
        assert max(pool.map("most_at_once", range(50))) == 3


def test_plain_methods_of_one_object_never_run_at_the_same_time():
    with corewise.actors(residents.Exclusive, num_workers=2, executor="threads") as pool:
        assert all(pool.map("enter", range(400)))


def test_calls_go_to_the_worker_that_is_least_busy():
    with corewise.actors(residents.Blocker, num_workers=2, executor="threads") as pool:
        blocked = pool.call("block")
        assert residents.Blocker.begun.wait(60)
        names = {pool.call("name").result(60) for _ in range(10)}
        residents.Blocker.release.set()
        assert blocked.result(60) not in names
    residents.Blocker.begun.clear()
    residents.Blocker.release.clear()


@pytest.mark.parametrize("cls", [residents.Closes, residents.CleansUp, residents.ClosesAsync])
def test_closing_runs_what_the_object_ends_with_once_and_after_its_calls(kind, cls):
    log = []
    pool = corewise.actors(cls, log, num_workers=1, executor=kind)
    pool.call("note", "called")
    pool.close()
    pool.close()
    assert log == ["called", "ended"]


@pytest.mark.parametrize("executor", ["threads", "spawn"])
def test_closing_finishes_async_calls_that_are_under_way(executor):
    pool = corewise.actors(residents.Handover, num_workers=1, executor=executor)
    calls = [pool.call("take", x) for x in range(3)]
    pool.call("inside").result(60)
    closer = threading.Thread(target=pool.close)
    closer.start()
    closer.join(60)
    assert [call.result(60) for call in calls] == [(x, "open") for x in range(3)]


def test_no_call_overtakes_the_end_of_its_object(tmp_path):
    def call(pool):
        with contextlib.suppress(corewise.ClosedError):
            while True:
                pool.call("nothing")

    for number in range(8):
        log = tmp_path / str(number)
        pool = corewise.actors(residents.Lives, str(log), num_workers=1, executor="threads")
        callers = [threading.Thread(target=call, args=(pool,)) for _ in range(3)]
        for caller in callers:
            caller.start()
        pool.call("nothing").result(60)
        pool.close()
        for caller in callers:
            caller.join(60)
        assert log.read_text().split() == ["made", "closed"]


def test_an_object_that_was_closed_is_not_made_again():
    resident = Resident((residents.Counter, (), {}), 1, defers=False)
    assert resident(("call", "add", (1,), {})) == 1
    resident(("close",))
    with pytest.raises(corewise.ClosedError):
        resident(("call", "add", (1,), {}))


@pytest.mark.parametrize("name", ["max_tasks_per_worker", "max_memory_per_worker", "idle_timeout"])
def test_settings_that_replace_workers_leave_those_alone_that_hold_an_object(name):
    corewise.reset()
    corewise.configure(num_cpus=4, executors={"spawn": {name: 1}})
    with corewise.actors(residents.Counter, num_workers=1, executor="spawn") as pool:
        (executor,) = pool._executors
        if name == "idle_timeout":
            assert executor.within._core.healer.next_look() is None
        assert [pool.call("add", 1).result(60) for _ in range(3)] == [1, 2, 3]


def test_a_call_after_closing_is_an_error(kind):
    pool = corewise.actors(residents.Counter, num_workers=1, executor=kind)
    pool.close()
    for use in (lambda: pool.call("add", 1), lambda: pool.each("add", 1), lambda: pool.map("add", [1])):
        with pytest.raises(corewise.ClosedError, match="the actor pool is closed"):
            use()


def test_an_object_that_cannot_be_closed_says_so_in_the_log(kind, caplog):
    with corewise.actors(residents.ClosesBadly, num_workers=1, executor=kind):
        pass
    assert "closing an actor failed: stuck lid" in caplog.text


def test_objects_are_smaller_machines():
    with corewise.actors(residents.Counter, num_workers=3, executor="threads") as pool:
        assert [future.result(60) for future in pool.each("cpus")] == [2, 1, 1]


def test_many_threads_may_call_one_pool():
    totals = []

    def use(pool):
        totals.append(sum(pool.call("double", x).result(60) for x in range(100)))

    with corewise.actors(residents.Counter, num_workers=2, executor="threads") as pool:
        users = [threading.Thread(target=use, args=(pool,)) for _ in range(8)]
        for user in users:
            user.start()
        for user in users:
            user.join(60)
    assert totals == [sum(2 * x for x in range(100))] * 8


def test_actors_serve_asyncio_programs():
    async def main(pool):
        return await asyncio.gather(*(asyncio.wrap_future(pool.call("double", x)) for x in range(20)))

    with corewise.actors(residents.Counter, num_workers=2, executor="threads") as pool:
        assert asyncio.run(main(pool)) == [2 * x for x in range(20)]


def test_abandoning_a_foreign_pool_of_processes_waits_for_no_call(tmp_path):
    before = set(threading.enumerate())
    executor = engines.make_executor("foreign_processes", 1)
    pool = ActorPool([executor], (potentials.Potential, (), {}), 1)
    begun, gone = tmp_path / "begun", tmp_path / "gone"
    running = pool.call("wait_for", str(begun), str(gone))
    waiting = [pool.call("times", 1) for _ in range(5)]  # more than the pool has given to its worker already
    try:
        while not begun.exists():
            assert not running.done()
        pool.abandon()
        with pytest.raises((concurrent.futures.CancelledError, concurrent.futures.BrokenExecutor)):
            waiting[-1].result(60)
        with pytest.raises(corewise.ClosedError):
            pool.call("times", 1)
    finally:
        gone.touch()
        executor.shutdown(wait=True)
        for thread in set(threading.enumerate()) - before:  # it was shut down before, and does not wait any more
            thread.join(60)
