"""What a caller gets when something goes wrong in a worker, beside what test_faults_page.py shows for every fault."""

import concurrent.futures
import contextlib
import errno
import os
import re
import resource

import pytest
import spawned

from corewise.errors import RemoteTraceback, WorkerDiedError
from corewise.executors.failure import Failure


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "runs")


@pytest.mark.parametrize(
    ("fn", "kind"),
    [(spawned.Unloadable(), ValueError), (spawned.Deadly(), WorkerDiedError)],
    ids=["cannot be unpickled", "ends the worker that unpickles it"],
)
def test_a_callable_that_cannot_arrive_fails_every_item_and_the_pool_goes_on(fn, kind):
    fn = spawned.OneOf(None, None, fn)
    with spawned.make_executor() as executor:
        assert isinstance(spawned.outcome(executor.submit(fn, 1)), kind)
        assert [type(x.error) for x in executor.map(fn, range(3), on_error="return")] == [kind] * 3
        assert list(executor.map(spawned.double, range(3))) == [0, 2, 4]


def test_a_dead_workers_error_tells_how_it_ended_and_what_it_said(tmp_path):
    def speak_and_die():
        import os

        os.write(2, b"the reason\n")
        os._exit(7)

    with spawned.make_executor(1) as executor, pytest.raises(WorkerDiedError) as caught:
        executor.submit(speak_and_die).result()
    assert caught.value.exitcode == 7
    assert caught.value.stderr == "the reason"
    assert re.search(r"2 workers ended while running this item.*exit code 7", str(caught.value))


def test_a_crash_in_c_code_tells_where_python_was(path):
    with spawned.make_executor(1) as executor:
        error = spawned.outcome(executor.submit(spawned.segfault, path))
    assert "Fatal Python error: Segmentation fault" in error.stderr
    assert "in segfault" in error.stderr


def test_an_exception_arrives_with_its_remote_traceback_as_cause():
    def inner():
        raise ValueError("from afar")

    with spawned.make_executor(1) as executor, pytest.raises(ValueError, match="from afar") as caught:
        executor.submit(inner).result()
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in inner" in str(caught.value.__cause__)


@pytest.mark.parametrize("way", ["submit", "map"])
def test_workers_that_cannot_start_fail_what_waits_and_say_why(way):
    with spawned.make_executor(env={"PYTHONHOME": "/nowhere"}) as executor:
        if way == "submit":
            error = spawned.outcome(executor.submit(spawned.pid))
        else:
            error = spawned.outcome_of(lambda: list(executor.map(spawned.pid, range(3))))
    assert isinstance(error, WorkerDiedError)
    assert "while they started" in str(error)
    assert "encodings" in error.stderr


def test_a_start_hook_that_raises_is_what_waiting_calls_get():
    with spawned.make_executor(start=spawned.fail_to_start) as executor:
        error = spawned.outcome(executor.submit(spawned.pid))
    assert isinstance(error, RuntimeError)
    assert "has no licence" in str(error)
    assert isinstance(error.__cause__, RemoteTraceback)


def test_max_crashes_says_how_often_an_item_is_tried(path):
    with spawned.make_executor(1, max_crashes=3) as executor:
        error = spawned.outcome(executor.submit(spawned.kill_self, path))
    assert isinstance(error, WorkerDiedError)
    assert spawned.runs(path) == 3


def test_items_too_quick_to_be_watched_still_find_the_guilty_one(path):
    with spawned.make_executor() as executor:
        assert sum(executor.map(spawned.double, range(20000))) == 20000 * 19999
        work = spawned.OneOf(9000, spawned.kill_self, path)
        found = list(executor.map(work, range(20000), on_error="return"))
    assert [x.index for x in found if isinstance(x, Failure)] == [9000]
    assert [x for x in found if not isinstance(x, Failure)] == [i for i in range(20000) if i != 9000]
    assert spawned.runs(path) == 2


@contextlib.contextmanager
def room_for_descriptors(count):
    """Let this process open so many more descriptors, numbered from the lowest free one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spawned.lowest_free_file() + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("room", range(0, 22, 3))
def test_a_worker_that_cannot_be_launched_for_lack_of_descriptors_leaves_none_open(room):
    with spawned.make_executor(1) as executor:
        before = spawned.open_files()
        with room_for_descriptors(room):
            error = spawned.outcome(executor.submit(spawned.double, 1))
        assert error == 2 or (isinstance(error, OSError) and error.errno == errno.EMFILE)
        if error != 2:
            assert spawned.open_files() == before
        assert executor.submit(spawned.double, 2).result() == 4


@pytest.mark.parametrize("room", [1, 8])
def test_where_no_more_workers_can_be_launched_the_others_go_on(room):
    with spawned.make_executor(3) as executor:
        pid = executor.submit(spawned.pid).result()
        before = spawned.open_files()
        with room_for_descriptors(room):
            assert {future.result() for future in [executor.submit(spawned.pid) for _ in range(20)]} == {pid}
            assert list(executor.map(spawned.double, range(100))) == [2 * x for x in range(100)]
        assert spawned.open_files() == before


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_base_exception_while_arguments_are_pickled_fails_that_call_alone(error, tmp_path):
    path = tmp_path / "open"

    class Raises:
        def __reduce__(self):
            raise error(3)

    with spawned.make_executor(1) as executor:
        running = executor.submit(spawned.wait_for, str(path), 1)
        bad = [executor.submit(spawned.double, Raises()) for _ in range(2)]
        good = executor.submit(spawned.double, 2)
        path.touch()
        assert not concurrent.futures.wait([running, *bad, good], timeout=60).not_done
        assert (running.result(), good.result()) == (1, 4)
        assert [type(future.exception()) for future in bad] == [error] * 2


@pytest.mark.parametrize("count", [10, 31])
def test_a_call_may_need_more_shared_objects_than_fit_in_a_socket(count):
    with spawned.make_executor(1) as executor:
        shared = [executor.share(os.urandom(60000)) for _ in range(count)]
        future = executor.submit(spawned.total_length, shared)
        assert not concurrent.futures.wait([future], timeout=60).not_done
        assert future.result() == 60000 * count
