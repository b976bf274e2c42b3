"""What a worker is from inside, and how it is replaced."""

import logging
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import spawned

from corewise.errors import ItemTimeoutError, WorkerDiedError
from corewise.executors.failure import Failure
from corewise.executors.worker import current_worker


def test_a_worker_knows_its_place():
    with spawned.make_executor(1) as executor:
        worker = executor.submit(current_worker).result()
    assert (worker.index, worker.count, worker.executor, worker.config) == (0, 1, "spawn", {"share": 0})


def test_the_environment_is_complete_before_the_interpreter_starts():
    with spawned.make_executor(1, env={"PYTHONHASHSEED": "7", "ANSWER": "42"}) as executor:
        seed, answer = executor.submit(lambda: (sys.flags.hash_randomization, os.environ["ANSWER"])).result()
    assert answer == "42"
    assert seed == 1


def test_a_worker_ignores_the_terminals_interrupt():
    with spawned.make_executor(1) as executor:
        worker = executor.submit(spawned.pid).result()
        os.kill(worker, signal.SIGINT)
        assert executor.submit(spawned.pid).result() == worker


def test_a_program_that_a_task_starts_is_interrupted_as_usual():
    def start():
        import subprocess

        child = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1)
        child.stdout.readline()
        while child.poll() is None:  # one that arrives right before it sleeps does not wake it
            child.send_signal(signal.SIGINT)
            time.sleep(0.05)
        code = child.returncode
        child.stdout.close()
        return code

    with spawned.make_executor(1) as executor:
        assert executor.submit(start).result() == -signal.SIGINT


def test_log_records_reach_the_pools_logging_with_the_workers_name(caplog):
    quiet = logging.getLogger("app.quiet")
    quiet.setLevel(logging.ERROR)
    try:
        with spawned.make_executor(1) as executor:
            executor.submit(spawned.log_something).result()
    finally:
        quiet.setLevel(logging.NOTSET)
    records = {record.getMessage(): record for record in caplog.records}
    assert set(records) == {"worth knowing", "from a thread"}
    assert records["worth knowing"].processName == "spawn-0"
    assert records["worth knowing"].name == "app"


def test_a_log_record_of_any_size_arrives(caplog):
    def log():
        logging.getLogger("app").warning("x" * 1_000_000)

    with spawned.make_executor(1) as executor:
        executor.submit(log).result()
    (record,) = caplog.records
    assert record.getMessage().startswith("xxx")


def test_exceptions_that_are_logged_keep_their_traceback(caplog):
    def log():
        try:
            1 / 0  # noqa: B018 - it raises
        except ZeroDivisionError:
            logging.getLogger("app").exception("it failed")

    with spawned.make_executor(1) as executor:
        executor.submit(log).result()
    assert "ZeroDivisionError" in caplog.text


def test_a_log_record_whose_text_cannot_be_made_fails_no_task_and_is_told_as_it_is(caplog):
    def log():
        logging.getLogger("app").warning("%d items", "many")
        return "done"

    with spawned.make_executor(1) as executor:
        assert executor.submit(log).result() == "done"
    told = {record.getMessage() for record in caplog.records if record.name == "app"}
    assert told == {"%d items ('many',)"}
    assert "TypeError: %d format" in caplog.text


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: spawned.TwoArgumentsError("one", "two"), "TwoArgumentsError('one two')"),
        (lambda: spawned.HoldsLockError("held"), "HoldsLockError('held')"),
        (spawned.NoText, "<NoText whose text cannot be made>"),
    ],
    ids=["does not load", "cannot be pickled", "neither loads nor has a text"],
)
def test_an_attribute_of_a_log_record_that_cannot_travel_arrives_as_text_and_the_others_as_they_are(caplog, make, text):
    def log():
        logging.getLogger("app").warning("failed", extra={"error": make(), "place": Path("here"), "count": 3})
        return os.getpid()

    with spawned.make_executor(1) as executor:
        worker = executor.submit(log).result()
        assert executor.submit(log).result() == worker
    for record in caplog.records:
        assert (record.getMessage(), record.error) == ("failed", text)
        assert (record.place, record.count) == (Path("here"), 3)
    assert len(caplog.records) == 2


def test_a_log_record_that_is_too_large_keeps_the_beginning_of_every_text(caplog):
    def log():
        logging.getLogger("app").warning("x" * 100_000, extra={"count": 3, "list": ["y" * 100_000], "last": "z"})

    with spawned.make_executor(1) as executor:
        executor.submit(log).result()
    (record,) = caplog.records
    assert record.getMessage().startswith("xxx")
    assert (record.count, record.list[:4]) == (3, "['yy")


def test_warnings_reach_the_pools_logging(caplog):
    def warn():
        warnings.simplefilter("always")
        warnings.warn("mind the gap", UserWarning, stacklevel=1)

    with spawned.make_executor(1) as executor:
        executor.submit(warn).result()
    (record,) = caplog.records
    assert record.name == "py.warnings"
    assert "mind the gap" in record.getMessage()
    assert record.processName == "spawn-0"


def test_standard_error_reaches_the_pools_logging(caplog):
    def write():
        print("one\ntwo", file=sys.stderr, flush=True)  # noqa: T201 - what is tested
        os.write(2, b"no end of line")

    with spawned.make_executor(1) as executor:
        executor.submit(write).result()
    assert [record.getMessage() for record in caplog.records] == [
        "spawn-0: one",
        "spawn-0: two",
        "spawn-0: no end of line",
    ]


def test_the_start_hook_runs_once_before_the_first_task():
    with spawned.make_executor(1, start=spawned.mark_environment) as executor:
        assert [executor.submit(os.getenv, "STARTED").result() for _ in range(3)] == ["0"] * 3


def test_the_stop_hook_runs_in_a_worker_that_ends_in_good_order(tmp_path):
    path = str(tmp_path / "stopped")
    with spawned.make_executor(1, stop=lambda worker: spawned.note(path)) as executor:
        executor.submit(spawned.pid).result()
    assert spawned.runs(path) == 1


def test_max_tasks_per_worker_replaces_a_worker_between_items():
    with spawned.make_executor(1, max_tasks_per_worker=3) as executor:
        pids = list(executor.map(spawned.pid, range(9), chunksize=9))
        submitted = [executor.submit(spawned.pid).result() for _ in range(3)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
    assert len(set(submitted)) == 1
    assert not set(submitted) & set(pids)


def test_max_memory_per_worker_replaces_a_worker_that_has_grown():
    def grow():
        os.kept = bytearray(b"x") * (1 << 28)
        return os.getpid()

    with spawned.make_executor(1, max_memory_per_worker=1 << 27) as executor:
        first = executor.submit(spawned.pid).result()
        assert executor.submit(spawned.pid).result() == first
        assert executor.submit(grow).result() == first
        assert executor.submit(spawned.pid).result() != first


def test_a_worker_is_idle_from_its_last_answer_on(tmp_path):
    path = tmp_path / "open"
    with spawned.make_executor(1, idle_timeout=60) as executor:
        future = executor.submit(spawned.wait_for, str(path))
        core = executor.within._core
        spawned.until(future.running)
        before = time.monotonic()
        path.touch()
        future.result(60)
        with core.lock:
            assert core.processes[0].last_used >= before


def test_an_idle_worker_leaves_after_idle_timeout():
    with spawned.make_executor(2, idle_timeout=0.2) as executor:
        first = executor.submit(spawned.pid).result()
        reading = os.pidfd_open(first)
        try:
            import select

            assert select.select([reading], [], [], 30)[0], "it has not ended"
        finally:
            os.close(reading)
        assert executor.submit(spawned.pid).result() != first


@pytest.mark.parametrize("ordered", [True, False])
def test_an_item_timeout_ends_that_item_alone(ordered):
    def work(x):
        if x == 3:
            time.sleep(60)
        return x

    with spawned.make_executor() as executor:
        found = list(executor.map(work, range(8), item_timeout=0.5, on_error="return", ordered=ordered))
    failures = [x for x in found if isinstance(x, Failure)]
    assert [x.index for x in failures] == [3]
    assert isinstance(failures[0].error, ItemTimeoutError)
    assert not isinstance(failures[0].error, WorkerDiedError)
    assert sorted(x for x in found if not isinstance(x, Failure)) == [0, 1, 2, 4, 5, 6, 7]


def test_the_clock_of_an_item_does_not_count_the_start_of_its_worker():
    with spawned.make_executor(start=spawned.start_slowly) as executor:
        assert list(executor.map(spawned.double, range(4), item_timeout=1)) == [0, 2, 4, 6]


def test_what_waits_behind_a_long_task_moves_to_a_free_worker(tmp_path):
    begun, release = str(tmp_path / "begun"), str(tmp_path / "release")
    with spawned.make_executor() as executor:
        warm = [executor.submit(spawned.double, 1) for _ in range(2000)]
        assert [future.result() for future in warm] == [2] * 2000
        long = executor.submit(spawned.touch_and_wait, begun, release)
        others = [executor.submit(spawned.double, x) for x in range(2000)]
        assert [future.result(60) for future in others] == [2 * x for x in range(2000)]
        assert not long.done()
        (tmp_path / "release").touch()
        long.result(60)


def test_tasks_that_travel_with_a_long_one_are_taken_back(tmp_path):
    begun, release = str(tmp_path / "begun"), str(tmp_path / "release")
    with spawned.make_executor() as executor:
        for future in [executor.submit(spawned.double, 1) for _ in range(5000)]:
            future.result()
        futures = [executor.submit(spawned.wait_where_told, begun, release, x) for x in range(3000)]
        rest = [future for x, future in enumerate(futures) if x != 700]
        assert [future.result(60) for future in rest] == [x for x in range(3000) if x != 700]
        assert not futures[700].done()
        (tmp_path / "release").touch()
        futures[700].result(60)


def test_every_task_runs_once_however_much_they_are_moved_about(tmp_path):
    path = str(tmp_path / "runs")

    def run(x):
        spawned.note(path)
        if x % 97 == 0:
            time.sleep(0.02)
        return x

    with spawned.make_executor() as executor:
        futures = [executor.submit(run, x) for x in range(1000)]
        assert [future.result(60) for future in futures] == list(range(1000))
    assert spawned.runs(path) == 1000


def test_a_shared_object_is_unpickled_once_in_each_worker(tmp_path):
    path = str(tmp_path / "loads")
    with spawned.make_executor(1) as executor:
        shared = executor.share(spawned.Counted(path))
        for _ in range(3):
            assert list(executor.map(lambda x: shared.get().value + x, range(5))) == list(range(7, 12))
        assert executor.submit(spawned.read_shared, shared).result() == 7
    assert spawned.runs(path) == 1


def test_a_callable_is_pickled_once_per_map_and_loaded_once_per_worker(tmp_path):
    path = str(tmp_path / "loads")
    fn = spawned.Adder(path)
    with spawned.make_executor(1) as executor:
        assert list(executor.map(fn, range(100), chunksize=1)) == list(range(1, 101))
    assert spawned.runs(path) == 1


@pytest.mark.parametrize(("context", "seen"), [(True, "from here"), (False, "nowhere")])
def test_context_variables_travel_where_asked(context, seen):
    token = spawned.PLACE.set("from here")
    try:
        with spawned.make_executor(1, context=context) as executor:
            assert executor.submit(spawned.place).result() == seen
            assert list(executor.map(spawned.place, range(3))) == [seen] * 3
    finally:
        spawned.PLACE.reset(token)


def test_context_variables_of_one_task_are_not_those_of_the_next():
    with spawned.make_executor(1, context=True) as executor:
        token = spawned.PLACE.set("first")
        first = executor.submit(spawned.place)
        spawned.PLACE.reset(token)
        assert (first.result(), executor.submit(spawned.place).result()) == ("first", "nowhere")


def test_a_context_variable_that_cannot_be_pickled_stays_behind_and_the_others_travel():
    token = spawned.PLACE.set("from here")
    try:
        with spawned.make_executor(1, context=True) as executor, np.errstate(divide="ignore"):
            assert executor.submit(spawned.place).result() == "from here"
            assert list(executor.map(spawned.place, range(2))) == ["from here"] * 2
    finally:
        spawned.PLACE.reset(token)
