"""What every executor does with single calls: the promises of ``concurrent.futures.Executor``."""

from __future__ import annotations

import threading
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, CancelledError, Future, as_completed, wait
from functools import partial

from corewise.testing import tasks
from corewise.testing.executor_base import ExecutorBase
from corewise.testing.expectations import equal, expect, raises

__all__ = ["CallChecks"]

SECONDS = 60.0
"""How long a result may take before a check fails, so that none hangs."""
CANCEL_SECONDS = 5.0
"""How long an executor that shuts down may take to cancel what waits, while a call runs."""


class CallChecks(ExecutorBase):
    """Checks of ``submit`` and ``shutdown``."""

    def test_submit_gives_a_future_of_the_result(self) -> None:
        """Positional and keyword arguments arrive, and the future is one of ``concurrent.futures``."""
        with self.make() as executor:
            future = executor.submit(tasks.add, 1, second=2)
            expect(isinstance(future, Future), f"submit returns a concurrent.futures.Future, not {type(future)}")
            equal(future.result(timeout=SECONDS), 3, "result of the future")
            expect(future.done() and not future.running() and not future.cancelled(), "a finished future is done")

    def test_the_exception_of_a_call_is_that_of_its_future(self) -> None:
        """Its class and arguments arrive, and the executor goes on."""
        with self.make() as executor:
            future = executor.submit(tasks.fail_on_odd, 1)
            error = future.exception(timeout=SECONDS)
            equal((type(error), error and error.args), (ValueError, ("item 1 is odd",)), "exception of the future")
            equal(executor.submit(tasks.double, 2).result(timeout=SECONDS), 4, "a call after one that failed")

    def test_a_call_that_exits_harms_no_other(self) -> None:
        """SystemExit is the outcome of its call, and no end of a worker."""
        with self.make() as executor:
            error = executor.submit(tasks.leave, 3).exception(timeout=SECONDS)
            equal(type(error), SystemExit, "exception of a call that exits")
            equal(executor.submit(tasks.double, 2).result(timeout=SECONDS), 4, "a call after one that exited")

    def test_lambdas_and_closures_travel(self) -> None:
        """What pickle cannot send by name is sent all the same."""
        offset = 10
        with self.make() as executor:
            equal(executor.submit(lambda item: item + offset, 1).result(timeout=SECONDS), 11, "result of a lambda")

    def test_a_result_that_cannot_leave_its_worker_harms_no_other(self) -> None:
        """It is the failure of its call alone, unless workers share memory."""
        with self.make() as executor:
            future = executor.submit(tasks.unpicklable, 0)
            error = future.exception(timeout=SECONDS)
            expect((error is None) == self.factory.shares_memory, f"a lock as a result gave {error!r}")
            equal(executor.submit(tasks.double, 2).result(timeout=SECONDS), 4, "a call after it")

    def test_done_callbacks_are_called_with_the_future(self) -> None:
        """Those added before the end and those added after it; once each."""
        called = threading.Semaphore(0)
        seen: list[object] = []
        with self.make() as executor:
            future = executor.submit(tasks.double, 2)

            def note(done: Future[int]) -> None:
                seen.append(done)
                called.release()

            future.add_done_callback(note)
            expect(called.acquire(timeout=SECONDS), "a callback is called")
            future.add_done_callback(note)
            equal(seen, [future, future], "what the callbacks were given")

    def test_as_completed_and_wait_see_every_future(self) -> None:
        """The functions of ``concurrent.futures`` work on the futures."""
        with self.make() as executor:
            futures = [executor.submit(tasks.double, item) for item in range(8)]
            results = sorted(future.result() for future in as_completed(futures, timeout=SECONDS))
            equal(results, [2 * item for item in range(8)], "results by as_completed")
            expect(wait(futures, timeout=SECONDS, return_when=FIRST_COMPLETED).done <= set(futures), "wait for one")
            done, waiting = wait(futures, timeout=SECONDS, return_when=ALL_COMPLETED)
            equal((len(done), len(waiting)), (8, 0), "done and waiting futures after wait")

    def test_a_call_that_waits_can_be_cancelled(self) -> None:
        """It never begins; one that is done cannot be cancelled, and in the calling thread none ever waits."""
        if self.factory.in_caller:
            self._check_calls_are_done_when_submitted()
            return
        with self.gated() as (executor, gate):
            futures = [executor.submit(tasks.hold, gate.path, item) for item in range(8 * executor.workers)]
            gate.wait_for(1)
            expect(futures[-1].cancel(), "the last of many waiting calls can be cancelled")
            expect(futures[-1].cancelled(), "it says that it was")
            gate.open()
            with raises(CancelledError, "result of a cancelled call"):
                futures[-1].result(timeout=SECONDS)
            equal(futures[0].result(timeout=SECONDS), 0, "a call that was not cancelled")
        equal([future.result() for future in futures[:-1]], list(range(len(futures) - 1)), "results of the others")

    def test_shutdown_waits_for_what_was_submitted(self) -> None:
        """After a ``with`` block every call is done."""
        with self.make() as executor:
            futures = [executor.submit(tasks.double, item) for item in range(16)]
        expect(all(future.done() for future in futures), "calls are done when shutdown has returned")
        equal([future.result() for future in futures], [2 * item for item in range(16)], "their results")

    def test_shutdown_can_cancel_what_has_not_begun(self) -> None:
        """With ``cancel_futures`` what waits is cancelled and what runs ends well; in the calling thread none waits."""
        if self.factory.in_caller:
            self._check_calls_are_done_when_submitted()
            return
        with self.gated() as (executor, gate):
            futures = [executor.submit(tasks.hold, gate.path, item) for item in range(16 * executor.workers)]
            gate.wait_for(1)
            cancelled = threading.Event()
            futures[-1].add_done_callback(lambda _: cancelled.set())
            closing = threading.Thread(target=partial(executor.shutdown, wait=True, cancel_futures=True))
            closing.start()
            cancelled.wait(timeout=CANCEL_SECONDS)
            gate.open()
            closing.join()
            expect(futures[-1].cancelled(), "the last of many waiting calls is cancelled")
            expect(any(future.done() and not future.cancelled() for future in futures), "a running call ends well")
            expect(all(future.done() for future in futures), "no future is left undone")

    def test_submit_after_shutdown_is_an_error(self) -> None:
        """RuntimeError, from submit and from map; a second shutdown is none."""
        executor = self.make()
        executor.shutdown()
        executor.shutdown()
        with raises(RuntimeError, "submit after shutdown"):
            executor.submit(tasks.double, 1)

    def test_an_executor_that_was_never_used_shuts_down(self) -> None:
        """Making and closing it costs nothing and hangs nowhere."""
        self.make().shutdown()

    def test_threads_may_submit_at_once(self) -> None:
        """Each gets the results of its own calls."""
        results: dict[int, list[int]] = {}
        with self.make() as executor:

            def submit(start: int) -> None:
                futures = [executor.submit(tasks.double, item) for item in range(start, start + 25)]
                results[start] = [future.result(timeout=SECONDS) for future in futures]

            threads = [threading.Thread(target=partial(submit, start)) for start in (0, 100, 200, 300)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        wanted = {start: [2 * item for item in range(start, start + 25)] for start in (0, 100, 200, 300)}
        equal(results, wanted, "results by thread")

    def test_a_task_knows_its_worker(self) -> None:
        """``current_worker()`` gives the record of the worker that runs a task; the calling thread is none."""
        with self.make() as executor:
            if self.factory.in_caller:
                error = executor.submit(tasks.worker_facts, 0).exception(timeout=SECONDS)
                equal(type(error), LookupError, "looking for the worker in the calling thread")
                return
            name, index, count = executor.submit(tasks.worker_facts, 0).result(timeout=SECONDS)
            equal((name, count), (self.factory.name, executor.workers), "executor and count of the worker")
            expect(0 <= index < count, f"index {index} is that of one of {count} workers")

    def _check_calls_are_done_when_submitted(self) -> None:
        with self.make() as executor:
            future = executor.submit(tasks.double, 1)
            expect(future.done(), "a call in the calling thread is done when submit returns")
            expect(not future.cancel(), "a call that is done cannot be cancelled")
            executor.shutdown(cancel_futures=True)
            equal(future.result(timeout=0), 2, "its result after shutdown")
