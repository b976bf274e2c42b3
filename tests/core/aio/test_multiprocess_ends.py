"""How the workers of a multiprocess object begin, die and end."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import potentials
import pytest

import corewise

pytestmark = pytest.mark.filterwarnings("ignore:executor 'threads':corewise.ExecutorWarning")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setenv("COREWISE_NO_CONFIG", "1")
    corewise.reset()
    corewise.configure(num_cpus=4)
    yield
    corewise.reset()


@pytest.fixture(params=["threads", "spawn"])
def executor(request):
    return request.param


async def written(path):
    """Wait for a file with content, and return it."""
    while not (path.exists() and path.read_text()):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.005)
    return path.read_text()


def gone(pid):
    """Say whether no process of this number runs, or only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_create_raises_what_the_factory_raised_with_the_workers_traceback():
    async def main():
        with pytest.raises(ValueError, match="no model here") as caught:
            await corewise.multiprocess.create(potentials.refuse, 2)
        return caught.value

    error = asyncio.run(main())
    assert "in refuse" in str(error.__cause__)


def test_each_caller_gets_its_own_error_of_the_start(executor):
    async def main():
        many = corewise.multiprocess(potentials.refuse, 2, executor=executor)
        errors = await asyncio.gather(*(many.times(x) for x in range(20)), return_exceptions=True)
        await many.aclose()
        return errors

    errors = asyncio.run(main())
    assert [str(error) for error in errors] == ["no model here"] * 20
    assert len({id(error) for error in errors}) == 20


def test_a_start_that_failed_is_tried_again_with_the_next_call(executor, tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.refuse_once, 1, (str(tmp_path / "mark"),), executor=executor)
        with pytest.raises(ValueError, match="not yet"):
            await many.times(1)
        result = await many.times(1)
        await many.aclose()
        return result

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize("use", [lambda many: many.times(1), lambda many: many.__aenter__()])
def test_starting_does_not_hold_up_the_event_loop(use, tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.hang, 1, (str(tmp_path / "mark"),))
        starting = asyncio.ensure_future(use(many))
        pid = int(await written(tmp_path / "mark"))  # this loop runs on while the factory hangs
        assert not starting.done()
        await many.aclose(drain=False)
        with pytest.raises(corewise.ClosedError, match="closed before its workers had started"):
            await starting
        return pid

    assert gone(asyncio.run(main()))


def test_closing_ends_a_start_that_no_call_waits_for(tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.hang, 1, (str(tmp_path / "mark"),))
        entering = asyncio.ensure_future(many.__aenter__())
        pid = int(await written(tmp_path / "mark"))
        await many.aclose()
        with pytest.raises(corewise.ClosedError, match="closed before its workers had started"):
            await entering
        return pid

    assert gone(asyncio.run(main()))


def test_closing_finishes_calls_that_wait_for_the_start(executor, tmp_path):
    marks = str(tmp_path / "begun"), str(tmp_path / "gone")

    async def main():
        many = corewise.multiprocess(potentials.begin_late, 2, marks, executor=executor)
        calls = [asyncio.ensure_future(call) for call in (many.times(1), many.batch_times([1, 2]))]
        await written(tmp_path / "begun")
        closing = asyncio.ensure_future(many.aclose())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(corewise.ClosedError):
            await many.times(3)
        (tmp_path / "gone").touch()
        await closing
        assert await asyncio.gather(*calls) == [2, [2, 4]]

    asyncio.run(main())


def test_closing_does_not_wait_for_a_start_whose_callers_were_cancelled(tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.hang, 1, (str(tmp_path / "mark"),))
        call = asyncio.ensure_future(many.times(1))
        pid = int(await written(tmp_path / "mark"))
        closing = asyncio.ensure_future(many.aclose())
        await asyncio.sleep(0)
        call.cancel()
        await closing
        return pid

    assert gone(asyncio.run(main()))


def test_closing_that_waits_in_vain_for_a_start_can_be_cancelled_and_ends_it(tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.hang, 1, (str(tmp_path / "mark"),))
        call = asyncio.ensure_future(many.times(1))
        pid = int(await written(tmp_path / "mark"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(many.aclose(), 0.1)
        with pytest.raises(corewise.ClosedError, match="closed before its workers had started"):
            await call
        await many.aclose()
        return pid

    assert gone(asyncio.run(main()))


def test_entering_that_is_cancelled_leaves_nothing(tmp_path):
    async def enter(many):
        async with many:
            raise AssertionError

    async def main():
        many = corewise.multiprocess(potentials.hang, 1, (str(tmp_path / "mark"),))
        entering = asyncio.ensure_future(enter(many))
        pid = int(await written(tmp_path / "mark"))
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        return pid

    assert gone(asyncio.run(main()))


def test_creation_that_is_cancelled_leaves_nothing(tmp_path):
    async def main():
        creating = asyncio.ensure_future(
            corewise.multiprocess.create(potentials.hang, 1, spawn_args=(str(tmp_path / "mark"),))
        )
        pid = int(await written(tmp_path / "mark"))
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        return pid

    assert gone(asyncio.run(main()))


def test_creation_can_be_given_a_time(tmp_path):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await corewise.multiprocess.create(potentials.hang, 1, spawn_args=(str(tmp_path / "mark"),))

    asyncio.run(main())


def test_the_recipe_is_pickled_once_for_all_workers_and_off_the_event_loop(tmp_path):
    async def main():
        async with corewise.multiprocess(potentials.Weights(str(tmp_path / "log")), 3) as many:
            await asyncio.gather(*(many.size() for _ in range(10)))

    asyncio.run(main())
    assert (tmp_path / "log").read_text().splitlines() == ["corewise-multiprocess-start"]


def test_a_large_object_that_would_travel_with_its_spawn_is_warned_of_with_the_mend(tmp_path):
    heavy = potentials.Weights(str(tmp_path / "log"), 17 << 20)

    async def main(recipe):
        async with corewise.multiprocess(recipe, 1) as many:
            return await many.size()

    mend = r"is 17 MiB: a bound method travels with its whole object; pass a factory"
    with pytest.warns(corewise.ExecutorWarning, match=mend) as caught:
        assert asyncio.run(main(heavy)) == 0
    assert caught[0].filename == __file__


def test_a_worker_that_is_killed_in_the_middle_of_a_call_is_replaced_and_its_call_made_again(tmp_path):
    async def main():
        async with corewise.multiprocess(potentials.Potential(7), 2) as many:
            await many.times(1)
            call = asyncio.ensure_future(many.wait_for(str(tmp_path / "begun"), str(tmp_path / "gone")))
            pid = int(await written(tmp_path / "begun"))
            others = [asyncio.ensure_future(many.times(x)) for x in range(100)]
            os.kill(pid, signal.SIGKILL)
            (tmp_path / "gone").touch()
            assert await asyncio.gather(*others) == [7 * x for x in range(100)]
            assert await call != pid
            assert await many.batch_times(list(range(50))) == [7 * x for x in range(50)]

    asyncio.run(main())


@pytest.mark.parametrize("kind", [potentials.Potential, potentials.AsyncPotential])
def test_a_call_that_ends_its_worker_once_is_made_again(kind, tmp_path):
    async def main():
        async with corewise.multiprocess(kind, 1) as many:
            return await many.end_once(str(tmp_path / "mark"))

    assert asyncio.run(main()) == "survived"


@pytest.mark.parametrize("kind", [potentials.Potential, potentials.AsyncPotential])
def test_a_call_that_ends_every_worker_fails_by_name_and_the_others_are_answered(kind):
    async def main():
        async with corewise.multiprocess(kind, 2) as many:
            calls = [many.times(x) for x in range(20)]
            answers = await asyncio.gather(*calls[:10], many.end(), *calls[10:], return_exceptions=True)
            deadly = answers.pop(10)
            assert isinstance(deadly, corewise.WorkerDiedError)
            assert deadly.exitcode == -signal.SIGKILL
            assert answers == list(range(20))

    asyncio.run(main())


def test_closing_finishes_what_was_called_closes_the_objects_and_can_be_done_again(executor, tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.Potential(2, str(tmp_path)), 2, executor=executor)
        await many.times(1)
        calls = [asyncio.ensure_future(many.times(x)) for x in range(50)]
        await asyncio.sleep(0)
        await asyncio.gather(many.aclose(), many.aclose())
        await many.aclose()
        assert await asyncio.gather(*calls) == [2 * x for x in range(50)]
        with pytest.raises(corewise.ClosedError, match=r"multiprocess\(Potential\) is closed"):
            await many.times(1)

    asyncio.run(main())
    assert len([*tmp_path.glob("closed-*")]) == 2


def test_closing_what_was_never_used_starts_nothing():
    async def main():
        many = corewise.multiprocess(potentials.hang, 1, ("/nowhere",))
        await many.aclose()
        with pytest.raises(corewise.ClosedError):
            await many.times(1)
        with pytest.raises(corewise.ClosedError):
            await many.__aenter__()

    asyncio.run(main())


def test_the_objects_own_close_is_the_end_of_all_of_them(executor, tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.Potential(2, str(tmp_path)), 2, executor=executor)
        await many.times(1)
        await many.close()
        with pytest.raises(corewise.ClosedError):
            await many.times(1)

    asyncio.run(main())
    assert len([*tmp_path.glob("closed-*")]) == 2


def test_closing_without_draining_ends_calls_that_run_and_fails_those_that_wait(tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.Potential, 1)
        running = asyncio.ensure_future(many.wait_for(str(tmp_path / "begun"), str(tmp_path / "never")))
        pid = int(await written(tmp_path / "begun"))
        waiting = [asyncio.ensure_future(many.times(x)) for x in range(10)]
        await asyncio.sleep(0)
        await many.aclose(drain=False)
        answers = await asyncio.gather(running, *waiting, return_exceptions=True)
        assert all(isinstance(answer, corewise.ClosedError) for answer in answers)
        return pid

    assert gone(asyncio.run(main()))


def test_closing_threads_without_draining_fails_all_calls_and_begins_none(tmp_path):
    obj = potentials.Potential()

    async def main():
        many = corewise.multiprocess(lambda: obj, 1, executor="threads")
        running = asyncio.ensure_future(many.wait_for(str(tmp_path / "begun"), str(tmp_path / "gone")))
        await written(tmp_path / "begun")
        waiting = [asyncio.ensure_future(many.times(x)) for x in range(10)]
        await asyncio.sleep(0)
        await many.aclose(drain=False)
        answers = await asyncio.gather(running, *waiting, return_exceptions=True)
        assert all(isinstance(answer, corewise.ClosedError) for answer in answers)

    before = set(threading.enumerate())
    asyncio.run(main())
    (tmp_path / "gone").touch()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert obj.calls == 0


def test_closing_threads_without_draining_cancels_what_async_methods_wait_for():
    ended = threading.Event()

    class Waiting:
        async def wait(self, begun):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    async def main():
        many = corewise.multiprocess(Waiting, 1, executor="threads")
        begun = threading.Event()
        waiting = asyncio.ensure_future(many.wait(begun))
        await asyncio.to_thread(begun.wait, 60)
        await many.aclose(drain=False)
        with pytest.raises(corewise.ClosedError, match="closed before this call was answered"):
            await waiting

    before = set(threading.enumerate())
    asyncio.run(main())
    assert ended.wait(60)
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_closing_that_drains_in_vain_can_be_hastened(executor, tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.Potential, 1, executor=executor)
        running = asyncio.ensure_future(many.wait_for(str(tmp_path / "begun"), str(tmp_path / "never")))
        await written(tmp_path / "begun")
        closing = asyncio.ensure_future(many.aclose())
        await asyncio.sleep(0)
        await many.aclose(drain=False)
        await closing
        with pytest.raises(corewise.ClosedError):
            await running

    before = set(threading.enumerate())
    asyncio.run(main())
    (tmp_path / "never").touch()  # a thread cannot be ended
    for thread in set(threading.enumerate()) - before:
        thread.join(60)


def test_closing_is_not_held_up_by_a_call_that_was_cancelled_while_it_waited(executor, tmp_path):
    async def main():
        many = corewise.multiprocess(potentials.Potential, 1, executor=executor)
        running = asyncio.ensure_future(many.wait_for(str(tmp_path / "begun"), str(tmp_path / "gone")))
        await written(tmp_path / "begun")
        waiting = asyncio.ensure_future(many.times(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it has left, and waits for the worker
        waiting.cancel()
        closing = asyncio.ensure_future(many.aclose())
        (tmp_path / "gone").touch()
        await asyncio.wait_for(closing, 60)
        await running

    asyncio.run(main())


def test_calls_of_a_loop_that_has_ended_harm_nobody(executor):
    many = corewise.multiprocess(potentials.Potential, 1, executor=executor)

    async def leave():
        await many.times(1)
        for x in range(10):
            many.times(x).send(None)  # begun and never awaited: the loop ends while they are under way

    async def use():
        return await asyncio.gather(*(many.times(x) for x in range(10)))

    asyncio.run(leave())
    assert asyncio.run(use()) == list(range(10))
    asyncio.run(many.aclose())


def test_many_threads_may_use_and_close_one_wrapper(executor):
    many = corewise.multiprocess(potentials.Potential, 2, executor=executor)
    results, ready = [], threading.Barrier(6)

    async def use():
        await many.times(0)
        ready.wait(60)
        if threading.current_thread().name == "closer":
            await many.aclose()
        answers = [await asyncio.gather(many.times(x), return_exceptions=True) for x in range(200)]
        results.extend(answers)

    names = ["closer", *map(str, range(5))]
    threads = [threading.Thread(target=asyncio.run, args=(use(),), name=name) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 6 * 200
    assert all(isinstance(result, int | corewise.ClosedError) for (result,) in results)
