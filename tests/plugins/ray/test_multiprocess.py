import asyncio
import os
import signal

import potentials
import psutil
import pytest

import corewise

ray = pytest.importorskip("ray", reason="Ray is installed for one Python only")

# Ray opens a connection to each worker when it is first used; the module resets what was resolved.
pytestmark = pytest.mark.leaves("file descriptors", "runtime")


@pytest.fixture(scope="module", autouse=True)
def _cluster(local_cluster):
    corewise.reset()
    corewise.configure(num_cpus=2)
    yield
    corewise.reset()


def test_plain_and_async_methods_of_one_object_are_awaited_over_actors():
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential(3), 2, executor="ray") as many:
            pids = {await many.pid() for _ in range(20)}
            assert os.getpid() not in pids
            assert await asyncio.gather(*(many.times(x) for x in range(200))) == [3 * x for x in range(200)]
            assert await many.times(2, y=5) == 30
            assert await many.vector(1000) == pytest.approx([0.5] * 1000)
            assert await many.batch_lazy([1, 2, 3]) == [1, 2, 3]
            assert many.vocabulary == ["a", "b"]

    asyncio.run(main())


def test_a_batch_is_shared_out_over_actors_in_order():
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential(3), 2, executor="ray") as many:
            assert await many.batch_times(list(range(5000))) == [3 * x for x in range(5000)]
            assert len(set(await many.batch_who(list(range(100))))) == 2

    asyncio.run(main())


def test_async_methods_of_one_actor_run_at_once_and_plain_ones_between_them():
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1, executor="ray") as many:
            waiting = [asyncio.ensure_future(many.wait()) for _ in range(5)]
            assert await many.pid() == await many.pid()
            assert await many.open() == "opened"
            assert await asyncio.gather(*waiting) == ["through"] * 5

    asyncio.run(main())


def test_an_error_of_a_method_is_its_callers_with_the_traceback_of_the_actor():
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1, executor="ray") as many:
            failing, fine = many.fail("no such"), many.times(2)
            with pytest.raises(KeyError, match="no such") as caught:
                await failing
            assert "in fail" in str(caught.value.__cause__)
            assert await fine == 2

    asyncio.run(main())


@pytest.mark.parametrize("kind", [potentials.Potential, potentials.AsyncPotential])
def test_an_actor_that_is_killed_in_the_middle_of_a_call_is_replaced_and_its_calls_made_again(
    kind, tmp_path, patiently
):
    async def main():
        async with corewise.multiprocess(kind(7), 2, executor="ray") as many:
            call = asyncio.ensure_future(many.wait_for(str(tmp_path / "begun"), str(tmp_path / "gone")))
            begun = tmp_path / "begun"
            await asyncio.to_thread(patiently, lambda: begun.exists() and begun.read_text())
            pid = int(begun.read_text())
            others = [asyncio.ensure_future(many.times(x)) for x in range(100)]
            os.kill(pid, signal.SIGKILL)
            (tmp_path / "gone").touch()
            assert await asyncio.gather(*others) == [7 * x for x in range(100)]
            assert await call != pid
            assert await many.batch_times(list(range(50))) == [7 * x for x in range(50)]
            assert len(set(await many.batch_who(list(range(100))))) == 2

    asyncio.run(main())


def test_a_call_that_ends_every_actor_fails_by_name_and_the_object_lives_on():
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential, 1, executor="ray") as many:
            with pytest.raises(corewise.WorkerDiedError):
                await many.end()
            assert await many.times(4) == 4

    asyncio.run(main())


def test_a_mixin_gives_a_class_actors_and_closing_lets_every_object_clean_up(tmp_path):
    async def main():
        many = potentials.AsyncPotential(2, str(tmp_path)).to_multiprocess(2, executor="ray")
        assert await asyncio.gather(many.times(1), many.times(2)) == [2, 4]
        await many.aclose()
        await many.aclose()
        with pytest.raises(corewise.ClosedError):
            await many.times(1)

    asyncio.run(main())
    assert len(list(tmp_path.glob("closed-*"))) == 2


def test_closing_without_draining_ends_the_actors_and_fails_what_was_called(tmp_path, patiently):
    async def main():
        many = await corewise.multiprocess.create(potentials.Potential, 1, executor="ray")
        pid = await many.pid()
        running = asyncio.ensure_future(many.wait_for(str(tmp_path / "begun"), str(tmp_path / "never")))
        await asyncio.to_thread(patiently, (tmp_path / "begun").exists)
        waiting = [asyncio.ensure_future(many.times(x)) for x in range(10)]
        await asyncio.sleep(0)
        await many.aclose(drain=False)
        answers = await asyncio.gather(running, *waiting, return_exceptions=True)
        assert all(isinstance(answer, corewise.ClosedError) for answer in answers)
        return pid

    pid = asyncio.run(main())
    patiently(lambda: not psutil.pid_exists(pid))


def test_creation_that_is_cancelled_leaves_no_actor(tmp_path, patiently):
    mark = tmp_path / "mark"

    async def main():
        creating = asyncio.ensure_future(
            corewise.multiprocess.create(potentials.hang, 1, spawn_args=(str(mark),), executor="ray")
        )
        await asyncio.to_thread(patiently, lambda: mark.exists() and mark.read_text())
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating

    asyncio.run(main())
    patiently(lambda: not psutil.pid_exists(int(mark.read_text())))


def test_autobatched_over_actors_batches_and_spreads():
    async def main():
        async with corewise.multiprocess(potentials.AsyncPotential(5), 2, executor="ray") as many:
            fast = corewise.autobatch(many)
            assert await asyncio.gather(*(fast.times(x) for x in range(500))) == [5 * x for x in range(500)]

    asyncio.run(main())
