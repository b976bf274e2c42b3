"""Workers that cannot be started cost no work as long as there are others."""

import gc
import itertools
import sys
import threading

import pytest
import spawned

from corewise.errors import WorkerDiedError


@pytest.fixture
def gate(tmp_path):
    """Return the path that a task waits for, and what opens it."""
    path = tmp_path / "open"
    yield str(path), path.touch
    path.touch()


def test_where_no_worker_can_be_started_a_future_holds_the_reason(monkeypatch):
    with spawned.make_executor(1) as executor:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        assert isinstance(spawned.outcome(executor.submit(spawned.double, 1)), FileNotFoundError)
        with pytest.raises(FileNotFoundError):
            list(executor.map(spawned.double, range(3)))
        monkeypatch.undo()
        assert executor.submit(spawned.double, 1).result(60) == 2


def test_a_failure_before_the_pools_thread_runs_still_calls_back(monkeypatch):
    called = threading.Event()
    with spawned.make_executor(1) as executor:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        executor.submit(spawned.double, 1).add_done_callback(lambda _: called.set())
        assert called.wait(60)


def test_a_worker_that_cannot_be_watched_is_ended(monkeypatch):
    with spawned.make_executor(1) as executor:
        core = executor.within._core
        started = []

        def fail(process):
            started.append(process.pid)
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(core.reader, "watch", fail)
        files = spawned.open_files()
        kinds = [type(spawned.outcome(executor.submit(spawned.double, 1))) for _ in range(3)]
        assert kinds == [OSError] * 3
        gc.collect()
        assert spawned.open_files() <= files
        assert [spawned.runs_still(pid) for pid in started] == [False] * 3
        monkeypatch.undo()
        assert executor.submit(spawned.double, 1).result(60) == 2


@pytest.mark.parametrize("how", ["refuses", "dies"])
def test_one_worker_that_cannot_start_leaves_its_work_to_the_others(gate, how, caplog):
    path, open_gate = gate
    starts = itertools.count()
    dying = {"env": lambda: {"PYTHONHOME": "/nowhere"} if next(starts) else {}}
    with spawned.make_executor(2, **{"refuses": {"start": spawned.fail_second}, "dies": dying}[how]) as executor:
        assert executor.submit(spawned.double, 1).result(60) == 2
        running = executor.submit(spawned.wait_for, path, "healthy")
        spawned.until(running.running)
        waiting = [executor.submit(spawned.double, x) for x in range(4)]
        holder = executor.submit(spawned.wait_for, path)
        spawned.until(lambda: "cannot be started" in caplog.text)
        assert not running.done()
        open_gate()
        assert running.result(60) == "healthy"
        assert [future.result(60) for future in waiting] == [0, 2, 4, 6]
        assert holder.result(60) is None


def test_once_no_worker_is_left_what_waits_fails():
    with spawned.make_executor(2, env={"PYTHONHOME": "/nowhere"}) as executor:
        errors = [spawned.outcome(future) for future in [executor.submit(spawned.double, x) for x in range(4)]]
    assert [type(error) for error in errors] == [WorkerDiedError] * 4
