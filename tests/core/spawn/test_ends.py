"""However a program with a pool ends, nothing is left: no process and no memory."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import psutil
import pytest
import spawned

HEAD = """
import os, signal, sys, time
sys.path.insert(0, {kit!r})
import spawned

def forever(*_):
    while True:
        pass

def go():
    print("go", flush=True)
"""
BUSY = """
executor = spawned.make_executor()
futures = [executor.submit(TASK, 600) for _ in range(4)]
executor_pids = []
while sum(future.running() for future in futures) < 2:
    time.sleep(0.01)
go()
"""


class Program:
    """A program in an interpreter of its own, whose every process can be found by a mark in its environment."""

    def __init__(self, code):
        self.mark = uuid.uuid4().hex
        source = HEAD.format(kit=spawned.KIT) + textwrap.dedent(code)
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            env={**os.environ, "PROGRAM_MARK": self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_it_goes(self):
        assert self.process.stdout.readline() == "go\n", self.process.stderr.read()

    def end(self):
        """Return exit code, output and errors once every process is gone."""
        out, err = self.process.communicate(timeout=60)
        left = [p for p in psutil.process_iter() if self._is_mine(p)]
        _, alive = psutil.wait_procs(left, timeout=10)
        for process in alive:
            process.kill()
        assert not alive, "it left processes behind"
        return self.process.returncode, out, err

    def _is_mine(self, process):
        try:
            return process.environ().get("PROGRAM_MARK") == self.mark
        except psutil.Error:
            return False


@pytest.mark.parametrize("task", ["time.sleep", "forever"])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_workers_leave_at_once_when_the_program_is_killed(name, task):
    program = Program(BUSY.replace("TASK", task) + "futures[0].result()")
    program.wait_until_it_goes()
    program.process.send_signal(getattr(signal, name))
    code, _, _ = program.end()
    assert code == -getattr(signal, name)


@pytest.mark.parametrize("wait", ["futures[0].result()", "futures[0].exception()"])
def test_an_interrupt_ends_the_program_and_what_it_runs(wait):
    program = Program(BUSY.replace("TASK", "time.sleep") + wait)
    program.wait_until_it_goes()
    program.process.send_signal(signal.SIGINT)
    code, _, err = program.end()
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in err


def test_an_interrupt_in_a_with_block_does_not_wait_for_what_runs():
    program = Program("""
        with spawned.make_executor() as executor:
            results = executor.map(time.sleep, [600] * 8, ordered=False)
            go()
            next(results)
    """)
    program.wait_until_it_goes()
    program.process.send_signal(signal.SIGINT)
    code, _, err = program.end()
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in err


def test_a_second_interrupt_ends_a_program_that_waits_for_its_pool():
    program = Program(BUSY.replace("TASK", "time.sleep") + "import atexit; atexit.register(go)")
    program.wait_until_it_goes()
    program.wait_until_it_goes()
    deadline = time.monotonic() + 30
    while program.process.poll() is None and time.monotonic() < deadline:
        program.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    program.end()


def test_a_program_that_ends_without_shutdown_finishes_what_was_submitted(tmp_path):
    path = tmp_path / "done"
    program = Program(f"""
        executor = spawned.make_executor()
        for _ in range(6):
            executor.submit(spawned.note, {str(path)!r})
    """)
    code, _, err = program.end()
    assert (code, err) == (0, "")
    assert spawned.runs(path) == 6


def test_an_exception_in_the_caller_ends_the_pool():
    program = Program("""
        with spawned.make_executor() as executor:
            executor.submit(time.sleep, 0.1)
            raise ValueError("in the caller")
    """)
    code, _, err = program.end()
    assert code == 1
    assert err.splitlines()[-1] == "ValueError: in the caller"


def test_a_pool_that_nobody_holds_finishes_and_ends():
    program = Program("""
        import gc, threading
        executor = spawned.make_executor()
        future = executor.submit(spawned.double, 21)
        del executor
        gc.collect()
        print(future.result())
        for thread in threading.enumerate():
            if thread.name == "corewise-spawn":
                thread.join(30)
                print("alive" if thread.is_alive() else "ended")
    """)
    code, out, err = program.end()
    assert (code, err) == (0, "")
    assert out in ("42\nended\n", "42\n")


def test_a_forked_child_has_an_empty_pool_of_its_own():
    program = Program("""
        import warnings
        from corewise.errors import ClosedError
        executor = spawned.make_executor()
        mine = executor.submit(spawned.pid).result()
        waiting = executor.submit(time.sleep, 0.5)
        warnings.simplefilter("ignore")  # newer Pythons warn of every fork with threads
        child = os.fork()
        if child == 0:
            try:
                waiting.result(10)
            except ClosedError as error:
                print(error, flush=True)
            theirs = executor.submit(spawned.pid).result(30)
            print(theirs != mine, flush=True)
            executor.shutdown()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(waiting.result(), executor.submit(spawned.double, 1).result(), flush=True)
    """)
    code, out, err = program.end()
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "this was submitted before os.fork(), in the parent; only there it has a result",
        "True",
        "None 2",
    ]


def test_every_child_of_a_server_that_forks_has_workers_of_its_own():
    program = Program("""
        import warnings
        executor = spawned.make_executor()
        list(executor.map(spawned.double, range(100)))
        parents = {process.pid for process in executor.within._core.processes}
        warnings.simplefilter("ignore")  # newer Pythons warn of every fork with threads
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                right = list(executor.map(spawned.double, range(100))) == [2 * x for x in range(100)]
                own = {process.pid for process in executor.within._core.processes}
                executor.shutdown()
                os._exit(0 if right and own and not own & parents else 1)
            children.append(child)
        print([os.waitpid(child, 0)[1] for child in children])
        print({process.pid for process in executor.within._core.processes} == parents)
        executor.shutdown()
    """)
    code, out, err = program.end()
    assert (code, err) == (0, "")
    assert out.splitlines() == ["[0, 0, 0]", "True"]


def test_workers_leave_though_a_forked_child_outlives_the_program():
    program = Program(
        BUSY.replace("TASK", "forever").replace(
            "go()",
            """
workers = [process.pid for process in executor.within._core.processes]
parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    deadline = time.monotonic() + 20
    while any(map(spawned.runs_still, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    print([spawned.runs_still(worker) for worker in workers], flush=True)
    os._exit(0)
go()
time.sleep(600)
""",
        )
    )
    program.wait_until_it_goes()
    program.process.kill()
    _, out, _ = program.end()
    assert out == "[False, False]\n"


def test_a_child_forked_while_a_worker_starts_holds_nothing_of_it():
    program = Program("""
        import threading, warnings
        executor = spawned.make_executor(1)
        started, forking = threading.Event(), threading.Event()
        posix_spawn = os.posix_spawn

        def start(*arguments, **options):
            pid = posix_spawn(*arguments, **options)
            started.set()
            forking.wait(60)
            return pid

        os.posix_spawn = start
        os.register_at_fork(before=forking.set)  # the last to be registered is the first to be called
        warnings.simplefilter("ignore")  # newer Pythons warn of every fork with threads
        before = spawned.open_files()
        caller = threading.Thread(target=lambda: executor.submit(spawned.double, 2).result())
        caller.start()
        started.wait(60)
        child = os.fork()
        if child == 0:
            print(spawned.open_files() - before, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        caller.join()
        print(executor.submit(spawned.double, 2).result())
    """)
    code, out, err = program.end()
    assert (code, err) == (0, "")
    assert out.splitlines() == ["0", "4"]


def test_a_thread_that_starts_a_worker_may_fork():
    program = Program("""
        import warnings
        warnings.simplefilter("ignore")  # newer Pythons warn of every fork with threads
        children = []

        def fork_in_hook():
            child = os.fork()
            if child == 0:
                os._exit(spawned.open_files() > before)
            children.append(os.waitpid(child, 0)[1])
            return {}

        before = spawned.open_files()
        with spawned.make_executor(1, env=fork_in_hook) as executor:
            print(executor.submit(spawned.double, 2).result(), children)
    """)
    code, out, err = program.end()
    assert (code, err) == (0, "")
    assert out == "4 [0]\n"


def test_threads_of_every_kind_may_fork_while_the_pool_works():
    with spawned.make_executor() as executor:
        futures = [executor.submit(spawned.double, x) for x in range(500)]
        for _ in range(10):
            subprocess.run([sys.executable, "-S", "-c", ""], check=True)
        assert [future.result() for future in futures] == [2 * x for x in range(500)]


def test_nothing_is_ever_in_the_directory_of_named_shared_memory(tmp_path):
    import numpy as np

    before = set(os.listdir("/dev/shm"))  # noqa: PTH208 - names
    with spawned.make_executor() as executor:
        seen = list(executor.map(lambda a: (a + 1, os.listdir("/dev/shm")), [np.ones(1 << 20)] * 4))  # noqa: PTH208
    assert all(set(names) <= before for _, names in seen)


def test_a_pool_that_runs_nothing_wakes_up_for_nothing():
    with spawned.make_executor() as executor:
        executor.submit(spawned.double, 1).result()
        executor.submit(spawned.double, 1).result()
        pids = [os.getpid(), *set(executor.map(spawned.pid, range(20), chunksize=1))]
        time.sleep(1)
        before = sum(switches(pid) for pid in pids)
        time.sleep(3)
        after = sum(switches(pid) for pid in pids)
    # Only this thread's own two wake-ups, and what a foreign thread of the test run may add, are allowed.
    assert after - before <= 5


def switches(pid):
    """Return how often the threads of a process have gone to sleep of their own will."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def test_a_pool_that_has_ended_writes_to_no_descriptor_that_others_have_since():
    with spawned.make_executor(1) as executor:
        executor.submit(spawned.pid).result()
    # The numbers of the descriptors that the pool had are given out again.
    pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(20)]
    try:
        executor.shutdown()
        del executor
        gc.collect()
        for reading, _ in pipes:
            with pytest.raises(BlockingIOError):
                os.read(reading, 1)
    finally:
        for ends in pipes:
            for end in ends:
                os.close(end)
