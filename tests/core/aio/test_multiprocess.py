import asyncio
import collections
import gc
import inspect
import os
import pickle
import select
import threading

import numpy as np
import potentials
import pytest

import corewise
from corewise.aio.delivery import Call, Lane
from corewise.aio.flow import Flow
from corewise.executors.worker import current_worker

pytestmark = pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")


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


def test_every_method_can_be_awaited_with_its_arguments(executor):
    async def main(kind):
        async with corewise.multiprocess(kind(3), executor=executor) as many:
            assert await many.times(2) == 6
            assert await many.times(2, y=5) == 30
            assert await many.batch_times([1, 2, 3, 4]) == [3, 6, 9, 12]
            assert inspect.iscoroutinefunction(many.times)

    asyncio.run(main(potentials.Potential))
    asyncio.run(main(potentials.AsyncPotential))


def test_the_recipe_may_be_an_object_a_class_a_function_or_a_coroutine_function(executor):
    async def main():
        for recipe in (
            potentials.Potential,
            potentials.make,
            potentials.make_later,
            potentials.Potential(1).spawn,
            potentials.Potential(1),
        ):
            async with corewise.multiprocess(recipe, 1, spawn_args=(7,), executor=executor) as many:
                assert await many.times(1) == 7
        async with corewise.multiprocess(potentials.Potential, 1, spawn_kwargs={"scale": 4}, executor=executor) as many:
            assert await many.times(1) == 4

    asyncio.run(main())


def test_what_has_no_spawn_and_is_no_factory_is_refused():
    with pytest.raises(TypeError, match=r"int has no spawn\(\) that makes another one, and is no factory"):
        corewise.multiprocess(3)


@pytest.mark.parametrize(("number", "error"), [(0, ValueError), (True, TypeError), ("2", TypeError)])
def test_a_wrong_number_of_workers_is_refused(number, error):
    with pytest.raises(error, match="multiprocess: num_workers: must be"):
        corewise.multiprocess(potentials.Potential, number)


def test_calls_run_in_all_workers_which_are_processes_by_default():
    async def main():
        async with corewise.multiprocess(potentials.Potential, 2) as many:
            return set(await asyncio.gather(*(many.pid() for _ in range(100))))

    pids = asyncio.run(main())
    assert os.getpid() not in pids
    assert len(pids) == 2


def test_workers_are_no_forks_of_a_program_whose_threads_may_hold_locks(monkeypatch):
    monkeypatch.setattr(potentials, "LEFT_BY_PARENT", True, raising=False)

    async def main():
        async with corewise.multiprocess(potentials.Potential, 2) as many:
            return await asyncio.gather(*(many.sees_parent() for _ in range(10)))

    assert potentials.Potential().sees_parent()
    assert not any(asyncio.run(main()))


def test_a_hundred_concurrent_calls_get_their_own_answers(executor):
    async def main(kind):
        async with corewise.multiprocess(kind, 2, executor=executor) as many:
            for _ in range(5):
                results = await asyncio.gather(*(many.times(x) for x in range(100)))
                assert results == list(range(100))

    asyncio.run(main(potentials.Potential))
    asyncio.run(main(potentials.AsyncPotential))


def test_an_error_of_a_method_is_its_callers_with_the_traceback_of_the_worker():
    async def main():
        async with corewise.multiprocess(potentials.Potential, 2) as many:
            calls = [many.fail(str(x)) if x % 2 else many.times(x) for x in range(20)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert [answer for answer in answers if isinstance(answer, int)] == list(range(0, 20, 2))
            errors = [answer for answer in answers if isinstance(answer, KeyError)]
            assert [error.args[0] for error in errors] == [str(x) for x in range(1, 20, 2)]
            assert all("in fail" in str(error.__cause__) for error in errors)

    asyncio.run(main())


def test_a_result_that_cannot_travel_fails_its_call_alone():
    async def main():
        async with corewise.multiprocess(potentials.Potential, 1) as many:
            await many.times(1)
            bad, good = await asyncio.gather(many.lock(), many.times(2), return_exceptions=True)
            assert isinstance(bad, TypeError)
            assert good == 2

    asyncio.run(main())


def test_a_wrong_name_is_an_attribute_error_at_once_with_the_closest_right_one(executor):
    async def main():
        known = corewise.multiprocess(potentials.Potential(1), executor=executor)
        with pytest.raises(AttributeError, match="Potential has no attribute 'tmies'; did you mean times"):
            _ = known.tmies
        async with corewise.multiprocess(potentials.make, 1, (1,), executor=executor) as unknown:
            with pytest.raises(AttributeError, match="make has no attribute 'tmies'; did you mean times"):
                _ = unknown.tmies

    asyncio.run(main())


def test_a_name_that_is_used_before_anything_is_known_fails_when_it_is_called(executor):
    async def use(name):
        many = corewise.multiprocess(potentials.make, 1, (1,), executor=executor)
        try:
            return await getattr(many, name)()
        finally:
            await many.aclose()

    with pytest.raises(AttributeError, match="did you mean times"):
        asyncio.run(use("tmies"))
    with pytest.raises(TypeError, match="scale is data and no method"):
        asyncio.run(use("scale"))


def test_data_attributes_and_properties_are_read_from_a_worker_and_kept(executor):
    async def main():
        async with corewise.multiprocess(potentials.Potential(5), executor=executor) as many:
            assert many.scale == 5
            assert many.size == 2
            assert many.kind == "potential"
            assert many.vocabulary == ["a", "b"]
            assert many.vocabulary is many.vocabulary

    asyncio.run(main())


def test_data_can_be_read_where_no_event_loop_runs(executor):
    many = corewise.multiprocess(potentials.make, 1, (5,), executor=executor)
    assert many.scale == 5
    assert {"times", "scale"} <= set(dir(many))
    asyncio.run(many.aclose())


def test_attributes_that_are_named_come_with_the_start(executor):
    async def main():
        many = await corewise.multiprocess.create(
            potentials.make, 1, (5,), executor=executor, attributes=("scale", "size")
        )
        await many.aclose()
        return many.scale, many.size

    assert asyncio.run(main()) == (5, 2)


def test_a_named_attribute_that_is_missing_fails_the_start(executor):
    async def main():
        with pytest.raises(AttributeError, match="no_such"):
            await corewise.multiprocess.create(potentials.Potential, 1, executor=executor, attributes=["no_such"])

    asyncio.run(main())


def test_nothing_can_be_set_or_deleted_on_the_wrapper():
    many = corewise.multiprocess(potentials.Potential(1))
    with pytest.raises(AttributeError, match="scale cannot be set: each worker has an object of its own"):
        many.scale = 2
    with pytest.raises(AttributeError, match="scale cannot be deleted"):
        del many.scale


def test_a_wrapper_that_is_pickled_or_spawned_has_workers_of_its_own():
    async def main():
        many = corewise.multiprocess(potentials.Potential(1), 1)
        async with many, pickle.loads(pickle.dumps(many)) as copy, many.spawn(9) as spawned:
            assert await copy.times(2) == 2
            assert await spawned.times(2) == 18
            assert len({await many.pid(), await copy.pid(), await spawned.pid()}) == 3

    asyncio.run(main())


def test_a_batch_is_shared_out_and_each_worker_calls_its_own_batch_method(executor):
    async def main(kind):
        async with corewise.multiprocess(kind, 2, executor=executor) as many:
            assert await many.batch_times(list(range(100))) == list(range(100))
            return await asyncio.gather(*(many.count() for _ in range(2)))

    assert sum(asyncio.run(main(potentials.Potential))) == 2


def test_results_of_a_shared_batch_keep_their_kind(executor):
    async def main():
        async with corewise.multiprocess(potentials.Potential, 2, executor=executor) as many:
            array = await many.batch_array(np.arange(7))
            assert array.dtype == np.float32
            assert array.tolist() == list(range(7))
            masked = await many.batch_masked([5, 15, 25, 7])
            assert masked.tolist() == [5, None, None, 7]
            assert await many.batch_tuple((1, 2, 3)) == (1, 2, 3)
            assert await many.batch_lazy([1, 2, 3]) == [1, 2, 3]
            assert await many.batch_times(iter([1, 2, 3])) == [1, 2, 3]

    asyncio.run(main())


def test_an_asynchronous_generator_may_yield_a_batchs_results(executor):
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 2, executor=executor) as many:
            return await many.batch_lazy([1, 2, 3])

    assert asyncio.run(main()) == [1, 2, 3]


def test_an_empty_batch_behaves_as_the_objects_own_method_does(executor):
    async def main():
        async with corewise.multiprocess(potentials.Potential, 2, executor=executor) as many:
            assert await many.batch_times([]) == []
            assert await many.batch_empty([]) == "nothing"
            assert await many.batch_empty(xs=[]) == "nothing"

    asyncio.run(main())


def test_a_part_of_a_wrong_length_names_the_method_and_both_lengths(executor):
    async def main():
        async with corewise.multiprocess(potentials.Potential, 2, executor=executor) as many:
            with pytest.raises(corewise.BatchResultError, match=r"Potential.batch_short .*: 5 items in, 4 results out"):
                await many.batch_short(list(range(10)))

    asyncio.run(main())


def test_the_faster_worker_gets_more_of_a_batch():
    async def main():
        async with corewise.multiprocess(potentials.Potential, 2) as many:
            for _ in range(3):
                places = await many.batch_slowly(list(range(44)))
            return places

    places = asyncio.run(main())
    assert places.count(1) > 2 * places.count(0) > 0


def test_several_event_loops_in_threads_and_in_turn_share_one_wrapper(executor):
    many = corewise.multiprocess(potentials.Potential, 2, executor=executor)
    answers = []

    async def use():
        answers.append(await asyncio.gather(*(many.times(x) for x in range(50))))

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    asyncio.run(use())
    asyncio.run(many.aclose())
    assert answers == [list(range(50))] * 5


def test_async_calls_of_one_turn_run_at_once_in_one_worker(executor):
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1, executor=executor) as many:
            return await asyncio.gather(*(many.meet(30) for _ in range(30)))

    assert len(set(asyncio.run(main()))) == 1


def test_async_calls_of_one_turn_fail_alone():
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1) as many:
            calls = [many.times(1), many.fail("f"), many.lock(), many.times(2), many.vector(1 << 18)]
            return await asyncio.gather(*calls * 3, return_exceptions=True)

    answers = asyncio.run(main())
    for one, failed, unsendable, two, vector in zip(*[iter(answers)] * 5, strict=True):
        assert (one, two, vector.nbytes) == (1, 2, 1 << 20)
        assert isinstance(failed, KeyError)
        assert "in fail" in str(failed.__cause__)
        assert isinstance(unsendable, TypeError)


def test_async_methods_of_one_worker_run_at_once_wherever_their_calls_come_from(executor):
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1, executor=executor) as many:
            waiting = asyncio.ensure_future(many.wait())
            assert await many.open() == "opened"
            assert await waiting == "through"

    asyncio.run(main())


def test_an_async_method_that_raises_system_exit_fails_its_call_alone(executor):
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1, executor=executor) as many:
            others = asyncio.gather(many.times(1), many.times(2))
            with pytest.raises(SystemExit):  # here: asyncio ends the whole program where a task raises it
                await many.leave()
            assert [*await others, await many.times(3)] == [1, 2, 3]

    asyncio.run(main())


def test_a_call_that_waits_holds_up_no_quick_ones(executor):
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1, executor=executor) as many:
            waiting = asyncio.ensure_future(many.wait())
            for _ in range(20):
                assert await asyncio.gather(*(many.times(x) for x in range(20))) == list(range(20))
            assert await many.open() == "opened"
            assert await waiting == "through"

    asyncio.run(main())


def test_a_quick_method_that_waits_for_later_calls_of_itself_is_not_kept_from_them(executor):
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1, executor=executor) as many:
            await many.open()
            for _ in range(10):
                await asyncio.gather(*(many.meet(0) for _ in range(20)))
            await many.shut()
            meeting = []
            for _ in range(30):
                meeting.append(many.meet(30))
                await asyncio.sleep(0)
            assert len(set(await asyncio.gather(*meeting))) == 1

    asyncio.run(main())


@pytest.fixture
def quick_flow():
    """Return a flow to one worker that has learned that a method is quick, and what makes calls of it."""
    flow = Flow(1, overlapping=True, together=False)
    loop = asyncio.new_event_loop()
    lane = Lane(loop)

    def calls(number):
        return [Call(lane, "quick", (), 0) for _ in range(number)]

    flow.queue.extend(calls(1))
    place, taken = flow.take()
    flow.learn(place, taken, seconds=1e-6)
    flow.free(place, taken)
    yield flow, calls
    loop.close()


def test_quick_calls_gather_while_two_messages_of_them_are_under_way(quick_flow):
    flow, calls = quick_flow
    flow.queue.extend(calls(1))
    place, first = flow.take()
    flow.queue.extend(calls(1))
    assert flow.take() is not None
    flow.queue.extend(calls(4))
    assert flow.take() is None
    assert flow.holding()
    flow.free(place, first)
    assert len(flow.take()[1]) == 4


def test_quick_calls_leave_where_those_before_them_turn_out_to_be_slow(quick_flow, monkeypatch):
    flow, calls = quick_flow
    for _ in range(2):
        flow.queue.extend(calls(1))
        flow.take()
    flow.queue.extend(calls(4))
    monkeypatch.setattr("corewise.aio.flow.PATIENCE", 3600.0)
    flow.lose_patience()
    assert flow.take() is None
    monkeypatch.setattr("corewise.aio.flow.PATIENCE", 0.0)
    flow.lose_patience()
    assert len(flow.take()[1]) == 4


def test_a_cancelled_caller_harms_nobody(executor):
    async def main():
        async with corewise.multiprocess(potentials.Potential, 1, executor=executor) as many:
            calls = [asyncio.ensure_future(many.times(x)) for x in range(30)]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert answers[1::2] == list(range(1, 30, 2))
            assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])

    asyncio.run(main())


def test_a_wrapper_that_is_dropped_leaves_no_worker():
    async def main():
        many = corewise.multiprocess(potentials.Potential, 1)
        return os.pidfd_open(await many.pid())

    handle = asyncio.run(main())
    gc.collect()
    try:
        assert select.select([handle], [], [], 60)[0]
    finally:
        os.close(handle)


def test_autobatched_over_processes_batches_and_spreads(executor):
    async def main(kind):
        many = corewise.multiprocess(kind(2), 2, executor=executor)
        async with corewise.autobatch(many, max_batch_size=16) as fast:
            assert await asyncio.gather(*(fast.times(x) for x in range(100))) == [2 * x for x in range(100)]
            assert fast.stats()["times"].batches < 100
            assert fast.scale == 2

    asyncio.run(main(potentials.Potential))
    asyncio.run(main(potentials.AsyncPotential))


def test_autobatching_what_is_known_only_after_its_start_does_not_block_the_event_loop(executor, tmp_path):
    begun, gone = tmp_path / "begun", tmp_path / "gone"

    async def main():
        fast = corewise.autobatch(
            corewise.multiprocess(potentials.begin_late, 1, (str(begun), str(gone)), executor=executor)
        )
        calls = [asyncio.ensure_future(call) for call in (*(fast.times(x) for x in range(100)), fast.count())]
        while not begun.exists():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.005)  # this loop runs on while the factory has not returned
        assert not any(call.done() for call in calls)
        closing = asyncio.ensure_future(fast.aclose())
        await asyncio.sleep(0)
        gone.touch()
        *answers, _ = await asyncio.gather(*calls)
        await closing
        assert answers == [2 * x for x in range(100)]
        assert fast.stats()["times"].batches < 100

    asyncio.run(main())


def test_autobatching_what_turns_out_to_have_nothing_to_batch_fails_with_the_first_call(executor):
    def counter():
        return collections.Counter("aab")

    async def main():
        many = corewise.multiprocess(counter, 1, executor=executor)
        fast = corewise.autobatch(many)
        with pytest.raises(ValueError, match="nothing to batch"):
            await fast.most_common(1)
        await fast.aclose()

    asyncio.run(main())


def test_copies_of_what_is_autobatched_later_find_out_for_themselves(executor):
    def potential():
        return potentials.Potential(3)

    async def main():
        fast = corewise.autobatch(corewise.multiprocess(potential, 1, executor=executor))
        async with fast.spawn() as other, fast:
            for each in (fast, other):
                assert await asyncio.gather(*(each.times(x) for x in range(50))) == [3 * x for x in range(50)]
                assert each.stats()["times"].batches < 50
                assert each.scale == 3

    asyncio.run(main())


def test_processes_of_an_autobatched_object_batch_in_each_worker(executor):
    async def main(kind):
        async with corewise.multiprocess(corewise.autobatch(kind(2)), 2, executor=executor) as many:
            assert await asyncio.gather(*(many.times(x) for x in range(100))) == [2 * x for x in range(100)]
            assert (await many.stats())["times"].items > 0
            with pytest.raises(AttributeError, match="tmies"):
                _ = many.tmies

    asyncio.run(main(potentials.Potential))
    asyncio.run(main(potentials.AsyncPotential))


def test_a_class_gives_itself_over_processes_by_a_method(executor):
    async def main():
        async with potentials.Potential(3).to_multiprocess(1, executor=executor) as many:
            assert await many.times(1) == 3
        async with potentials.Potential(3).to_multiprocess(num_workers=1, spawn_args=(8,), executor=executor) as many:
            assert await many.times(1) == 8

    asyncio.run(main())


def test_objects_are_smaller_machines():
    async def main():
        async with corewise.multiprocess(corewise.get_parallel_config, 2) as many:
            return many.num_cpus

    assert asyncio.run(main()) == 2
    assert current_worker() is None
