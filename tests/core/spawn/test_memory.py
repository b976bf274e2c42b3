"""Large buffers travel in shared memory: mapped, not copied by the receiver, recycled, and given back."""

import contextlib
import functools
import gc
import os
import resource
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import spawned

from corewise.builtin.spawn import wire
from corewise.builtin.spawn.blocks import BlockStore
from corewise.executors.chunks import Chunk
from corewise.executors.sizing import WAITING_BYTES

MIB = 1 << 17  # float64 items in a mebibyte


def memfds(pid):
    """Return how many blocks of shared memory a process has open or mapped, and their bytes."""
    with open(f"/proc/{pid}/maps") as maps:  # noqa: PTH123 - a line at a time
        spans = [line.split()[0].split("-") for line in maps if "/memfd:corewise " in line]
    return sum(int(end, 16) - int(begin, 16) for begin, end in spans)


@pytest.mark.parametrize("way", ["submit", "map"])
def test_arrays_arrive_and_return_whole(way):
    arrays = [np.arange(n, dtype=float) + n for n in (0, 1, 1000, 8192, 100_000, 2 * MIB)]
    with spawned.make_executor() as executor:
        if way == "submit":
            found = [executor.submit(np.negative, array).result() for array in arrays]
        else:
            found = list(executor.map(np.negative, arrays))
    for array, negative in zip(arrays, found, strict=True):
        np.testing.assert_array_equal(negative, -array)


def test_several_arrays_in_one_item_stay_apart():
    def swap(pair):
        return {"first": pair[1], "second": pair[0]}

    pairs = [(np.full(20_000, i), np.full(30_000, -i, dtype=np.int16)) for i in range(20)]
    with spawned.make_executor() as executor:
        for (one, two), swapped in zip(pairs, executor.map(swap, pairs, chunksize=7), strict=True):
            np.testing.assert_array_equal(swapped["first"], two)
            np.testing.assert_array_equal(swapped["second"], one)


def test_results_can_be_changed_and_outlive_the_pool():
    with spawned.make_executor(1) as executor:
        array = executor.submit(np.ones, MIB).result()
    array += 1
    assert array.sum() == 2 * MIB


def test_a_result_is_not_overwritten_while_it_is_used():
    with spawned.make_executor() as executor:
        kept = [executor.submit(np.full, MIB, i).result() for i in range(40)]
        for i, array in enumerate(kept):
            assert array[0] == array[-1] == i


def test_an_argument_that_a_worker_keeps_is_not_overwritten():
    def keep(array):
        os.kept = [*getattr(os, "kept", []), array]

    def read():
        return [array[0] for array in os.kept]

    with spawned.make_executor(1) as executor:
        for i in range(10):
            executor.submit(keep, np.full(MIB, i)).result()
        assert executor.submit(read).result() == list(range(10))


def test_blocks_are_recycled():
    def run(executor):
        for _ in range(5):
            for _ in executor.map(np.negative, (np.ones(MIB) for _ in range(100)), chunksize=1):
                pass

    with spawned.make_executor() as executor:
        run(executor)
        before = memfds(os.getpid())
        run(executor)
        assert len(executor.within._core.store) <= 8
        # A free-threaded interpreter lets go of an object in the thread that made it, when that runs again.
        spawned.settle(executor, lambda: memfds(os.getpid()) <= before + (64 << 20))


def test_more_arrays_than_a_process_may_have_descriptors():
    few = 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spawned.open_files() + few, hard))
    try:
        with spawned.make_executor() as executor:
            kept = list(executor.map(np.full, [1 << 14] * 3 * few, range(3 * few), chunksize=1))
            assert [int(array[-1]) for array in kept] == list(range(3 * few))
            executor.submit(spawned.keep, kept).result()
            for array in kept[:few]:
                executor.submit(spawned.keep, array).result()
            assert executor.submit(spawned.double, 2).result() == 4
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_idle_blocks_are_bounded():
    with spawned.make_executor() as executor:
        executor.submit(len, [np.ones(16 * MIB) for _ in range(18)]).result()
        executor.submit(len, [np.ones(8 * MIB) for _ in range(8)]).result()
        executor.submit(len, []).result()
        assert executor.within._core.store._idle_bytes <= 256 << 20


def test_what_a_callable_binds_is_one_copy_for_all_workers_and_goes_with_the_map():
    array = np.arange(16 * MIB, dtype=float)
    with spawned.make_executor() as executor:
        pids = set(executor.map(spawned.pid, range(20), chunksize=1))
        fn = functools.partial(spawned.at, array)
        assert list(executor.map(fn, range(1000))) == list(range(1000))
        spawned.settle(executor, lambda: sum(memfds(pid) for pid in pids) == 0)


def test_what_a_worker_changes_in_a_shared_array_it_changes_for_itself():
    array = np.zeros(MIB)

    def change(_):
        array[0] += 1
        return array[0], os.getpid()

    with spawned.make_executor() as executor:
        found = list(executor.map(change, range(40), chunksize=1))
    by_worker = {}
    for value, pid in found:
        by_worker.setdefault(pid, []).append(value)
    for values in by_worker.values():
        assert sorted(values) == list(range(1, len(values) + 1))
    assert array[0] == 0


def test_a_worker_that_is_killed_leaves_no_memory_and_no_descriptor():
    def answer_and_die(array):
        if array[0] == 3:
            os.kill(os.getpid(), 9)
        return array

    with spawned.make_executor() as executor:
        found = list(executor.map(answer_and_die, (np.full(MIB, i) for i in range(8)), on_error="skip", chunksize=1))
        assert [int(array[0]) for array in found] == [0, 1, 2, 4, 5, 6, 7]
        del found
        gc.collect()
        before = spawned.open_files()
        for _ in range(3):
            list(executor.map(answer_and_die, [np.full(MIB, 3)], on_error="skip"))
        executor.submit(spawned.pid).result()
        assert spawned.open_files() <= before + 3


def test_a_long_pickle_travels_too():
    text = "x" * 3_000_000
    with spawned.make_executor(1) as executor:
        assert executor.submit(len, text).result() == len(text)
        assert executor.submit(spawned.double, text).result() == 2 * text
        assert list(executor.map(spawned.double, [text] * 3)) == [2 * text] * 3
        assert list(executor.map(lambda i: len(text) + i, range(3))) == [len(text) + i for i in range(3)]


def test_memory_that_cannot_be_had_fails_the_task_and_the_pool_goes_on():
    array = np.ones(MIB)
    with spawned.make_executor(1) as executor:
        executor.submit(spawned.pid).result()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spawned.lowest_free_file(), hard))
        try:
            error = spawned.outcome(executor.submit(spawned.double, array))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert isinstance(error, OSError)
        assert executor.submit(spawned.double, array).result().sum() == 2 * MIB


def test_a_map_that_is_given_up_leaves_its_workers_to_the_next(tmp_path):
    with spawned.make_executor() as executor:
        for _ in range(5):
            results = executor.map(spawned.work_a_little, range(10_000), ordered=False)
            next(results)
            results.close()
        for process in executor.within._core.processes:
            spawned.kill(process.pid)
        assert list(executor.map(spawned.double, range(100))) == [2 * x for x in range(100)]


def blocks():
    """Return how many blocks of shared memory this process holds the descriptors of."""
    found = 0
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += "/memfd:corewise " in str(file.readlink())
    return found


def test_shared_objects_go_when_nobody_refers_to_them_any_more():
    before = blocks()
    with spawned.make_executor(1) as executor:
        for number in range(200):
            reference = executor.share(np.full(MIB, number))
            assert executor.submit(spawned.first_of, reference).result() == number
            del reference
            assert blocks() <= before + 10
        pid = executor.submit(spawned.pid).result()
        spawned.settle(executor, lambda: memfds(pid) == 0)


def test_a_shared_object_that_another_one_refers_to_stays_with_it():
    with spawned.make_executor(1) as executor:
        inner = executor.share(np.full(MIB, 7))
        outer = executor.share([inner])
        del inner
        executor.share(None)
        assert executor.submit(spawned.first_of_inner, outer).result() == 7


@pytest.mark.parametrize("used", [True, False])
def test_closing_releases_shared_objects_that_are_still_referred_to(used):
    before = blocks()
    executor = spawned.make_executor(1)
    kept = executor.share(np.ones(MIB))
    if used:
        executor.submit(spawned.pid).result()
    executor.shutdown()
    late = executor.within.share(np.ones(MIB))
    assert blocks() == before
    assert kept.get().sum() == late.get().sum() == MIB


def test_functions_that_are_called_by_name_are_kept_in_bounded_number(monkeypatch):
    module = types.ModuleType("many_functions")
    monkeypatch.setitem(sys.modules, "many_functions", module)
    exec("\n".join(f"def f{number}(): pass" for number in range(300)), vars(module))  # noqa: S102 - its own text
    with spawned.make_executor(1) as executor:
        for number in range(300):
            executor.submit(getattr(module, f"f{number}")).exception()
        assert len(executor.within._core.callables._known) <= 128


@pytest.mark.parametrize("ends", ["after each item", "while it holds on to its arguments"])
def test_blocks_that_a_worker_had_go_with_it(ends):
    array = np.ones(MIB)
    before = blocks()
    with spawned.make_executor(1, max_tasks_per_worker=1 if ends == "after each item" else None) as executor:
        for _ in range(10):
            executor.submit(spawned.keep, array).result()
            if ends != "after each item":
                spawned.outcome(executor.submit(os._exit, 1))
        executor.submit(spawned.pid).result()
        assert blocks() <= before + 2


def test_the_answer_of_a_call_gives_back_the_block_of_its_arguments():
    with spawned.make_executor(1) as executor:
        executor.submit(len, np.ones(MIB)).result()
        (process,) = executor.within._core.processes
        assert process.lent == set()


def test_a_map_over_what_is_no_iterable_leaves_no_block():
    with spawned.make_executor(1) as executor:
        before = blocks()
        with pytest.raises(TypeError):
            executor.map(functools.partial(np.dot, np.ones(MIB)), 5)
        assert blocks() == before


@contextlib.contextmanager
def files_no_longer_than(size):
    """Refuse this process blocks of more bytes; Python ignores the signal that would come with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("act", ["submit", "share"])
def test_a_block_that_cannot_be_had_is_not_left_behind(act):
    with spawned.make_executor(1) as executor:
        executor.submit(spawned.pid).result()
        before = blocks()
        with files_no_longer_than(1 << 19):
            error = spawned.outcome_of(lambda: getattr(executor, act)(*([len] * (act == "submit")), np.ones(MIB)))
            if act == "submit":
                error = spawned.outcome(error)
        assert isinstance(error, OSError)
        assert blocks() == before


class Strided:
    """A buffer that cannot be written at once."""

    def raw(self):
        return memoryview(bytearray(MIB))[::2]


@pytest.mark.parametrize("private", [False, True])
def test_a_block_that_cannot_be_filled_is_not_left_behind(private):
    store = BlockStore()
    before = blocks()
    with pytest.raises(BufferError):
        wire.pack(store, wire.Kind.CHUNK, 1, b"", [Strided()], private=private)
    assert blocks() == before
    assert len(store) == 0


def test_a_map_over_large_arrays_has_no_more_of_them_under_way_than_may_wait():
    mebibytes = 8
    array = np.ones((mebibytes + 200) * MIB)
    views = [array[i * MIB : (i + mebibytes) * MIB] for i in range(200)]
    most = 0
    with spawned.make_executor() as executor:
        taken = executor.within._core.store._taken
        for _ in executor.map(len, views):
            most = max(most, sum(block.size for block in [*taken.values()]))
    assert mebibytes << 20 <= most <= 1.5 * WAITING_BYTES


def test_long_strings_count_as_large_items_too():
    text = "x" * (8 << 20)
    with spawned.make_executor() as executor:
        future = executor.within.submit_chunk(executor.within.prepare(len), Chunk([text] * 2))
        outcome = future.result()
    assert len(text) <= outcome.sent < 3 * len(text)


def test_small_items_are_not_counted():
    with spawned.make_executor() as executor:
        assert executor.within.submit_chunk(executor.within.prepare(len), Chunk(["x"] * 20)).result().sent == 0
