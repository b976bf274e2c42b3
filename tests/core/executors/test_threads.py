import gc
import subprocess
import sys
import sysconfig
import threading
import warnings
import weakref

import pytest
from engines import make_executor

import corewise
from corewise.executors.gil import gil_culprit, is_free_threaded

FREE_THREADED_BUILD = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def run(code, *options, **environment):
    import os

    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "COREWISE_NO_CONFIG": "1", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_threads_start_as_they_are_needed_and_at_most_workers_of_them():
    release = threading.Event()
    with make_executor("threads", workers=3) as executor:
        assert executor.submit(abs, -1).result(timeout=60) == 1
        before = threading.active_count()
        futures = [executor.submit(release.wait, 60) for _ in range(10)]
        assert threading.active_count() <= before + 2
        release.set()
        assert all(future.result(timeout=60) for future in futures)


def test_work_really_runs_on_all_workers_at_once():
    barrier = threading.Barrier(4, timeout=60)
    with make_executor("threads", workers=4) as executor:
        names = set(executor.map(lambda _: (barrier.wait(), threading.current_thread().name)[1], range(4)))
    assert len(names) == 4


def test_a_dropped_executor_ends_its_threads():
    executor = make_executor("threads")
    thread = executor.submit(threading.current_thread).result(timeout=60)
    gone = weakref.ref(executor.within)
    del executor
    gc.collect()
    assert gone() is None
    thread.join(60)
    assert not thread.is_alive()


def test_many_threads_may_submit_and_map_at_once():
    totals = []

    def use(executor):
        futures = [executor.submit(abs, -x) for x in range(200)]
        totals.append(sum(f.result(timeout=60) for f in futures) + sum(executor.map(abs, range(-200, 0))))

    with make_executor("threads", workers=4) as executor:
        users = [threading.Thread(target=use, args=(executor,)) for _ in range(8)]
        for user in users:
            user.start()
        for user in users:
            user.join(60)
    assert totals == [sum(range(200)) + sum(range(1, 201))] * 8


def test_submit_after_shutdown_is_an_error():
    executor = make_executor("threads")
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(executor.map(abs, [1]))


def test_what_was_submitted_is_finished_at_exit_and_a_stuck_item_is_not_waited_for():
    code = """
import threading, corewise
ex = corewise.executor("threads", workers=2)
never = threading.Event()
results = list(ex.map(lambda x: never.wait() if x == 0 else x, range(3), item_timeout=0.2, on_error="skip"))
assert results == [1, 2], results
gate = threading.Event()
ex.submit(lambda: (gate.wait(60), print("finished", flush=True)))
gate.set()
"""
    assert run(code, "-W", "ignore").stdout == "finished\n"


def test_a_forked_child_uses_and_drops_executors_whatever_the_parents_threads_were_doing():
    code = """
import itertools, os, threading, corewise, corewise.builtin.threads
held = corewise.executor("threads", workers=2)
list(held.map(abs, [-1]))
unfinished = corewise.map(abs, itertools.count(), executor="threads")
next(unfinished)
[pool] = corewise.builtin.threads._open - {held.within._pool}
def hold():
    with held.within._pool.lock, pool.lock:
        taken.set()
        done.wait()
taken, done = threading.Event(), threading.Event()
thread = threading.Thread(target=hold)
thread.start()
taken.wait()
pid = os.fork()
if pid == 0:
    import signal
    signal.alarm(30)
    del unfinished
    print(list(held.map(abs, [-2])), list(corewise.map(abs, [-3], executor="threads")), flush=True)
    del held
    os._exit(0)
status = os.waitpid(pid, 0)[1]
done.set()
thread.join()
print(status, list(held.map(abs, [-4])))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.stderr) == ("[2] [3]\n0 [4]\n", "")


def test_a_worker_that_cannot_start_says_why_with_every_task():
    import attrs

    executor = make_executor("threads")
    pool = executor.within._pool

    def refuse(worker):
        raise OSError("no accelerator")

    pool.request = attrs.evolve(pool.request, start_worker=refuse)
    with executor:
        error = executor.submit(abs, 1).exception(timeout=60)
    assert isinstance(error.__cause__, OSError)


def test_the_gil_is_warned_of_once_at_the_line_of_the_caller():
    code = """
import warnings, corewise
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        corewise.executor("threads").shutdown()
for warning in caught:
    print(warning.category.__name__, warning.filename, warning.message)
"""
    options = ("-X", "gil=1") if FREE_THREADED_BUILD else ()
    lines = run(code, *options).stdout.splitlines()
    assert len(lines) == 1
    why = "-X gil=1 switched it on" if FREE_THREADED_BUILD else "this build of Python always has a GIL"
    assert lines[0].startswith("ExecutorWarning <string> executor 'threads': only one thread")
    assert why in lines[0]


@pytest.mark.skipif(not FREE_THREADED_BUILD, reason="only free-threaded builds can run without the GIL")
def test_without_the_gil_there_is_no_warning_and_threads_are_chosen():
    code = """
import warnings, corewise
warnings.simplefilter("error")
config = corewise.get_parallel_config()
assert config.executor == "threads", config
assert config.num_batch_jobs == config.num_threads
assert list(corewise.map(abs, [-1])) == [1]
"""
    run(code, "-X", "gil=0", COREWISE_NUM_CPUS="4")


@pytest.mark.skipif(not FREE_THREADED_BUILD, reason="only free-threaded builds can switch the GIL on")
def test_the_module_that_switched_the_gil_on_is_named(tmp_path):
    source = tmp_path / "oldmodule.c"
    source.write_text(
        "#include <Python.h>\n"
        'static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "oldmodule", NULL, -1, NULL};\n'
        "PyMODINIT_FUNC PyInit_oldmodule(void) { return PyModule_Create(&module); }\n"
    )
    library = tmp_path / f"oldmodule{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = sysconfig.get_path("include")
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", source, "-o", library], check=True, timeout=100)
    code = f"""
import sys, warnings
sys.path.insert(0, {str(tmp_path)!r})
import corewise
assert corewise.is_free_threaded(require_active=True)
import oldmodule
assert corewise.is_free_threaded() and not corewise.is_free_threaded(require_active=True)
warnings.simplefilter("error")
try:
    corewise.executor("threads")
except corewise.ExecutorWarning as warning:
    print(warning)
print(corewise.get_parallel_config().executor)
"""
    lines = run(code).stdout.splitlines()
    assert "because module 'oldmodule' switched it on" in lines[0]
    assert lines[1] == "serial"


def test_free_threading_is_told_as_the_interpreter_tells_it():
    assert is_free_threaded() is FREE_THREADED_BUILD
    assert corewise.is_free_threaded(require_active=True) is (gil_culprit() == "")


def test_a_pool_survives_items_that_raise_anything():
    def bad(x):
        raise KeyboardInterrupt if x % 2 else SystemExit

    with make_executor("threads") as executor:
        failures = list(executor.map(bad, range(10), on_error="return"))
        assert [type(f.error) for f in failures] == [SystemExit, KeyboardInterrupt] * 5
        assert list(executor.map(abs, [1, 2])) == [1, 2]
        with warnings.catch_warnings():
            assert isinstance(executor.submit(bad, 1).exception(timeout=60), KeyboardInterrupt)
