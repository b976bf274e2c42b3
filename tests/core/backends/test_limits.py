"""The bookkeeping of a process's limits, with backends that are nothing but a number."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from counting_backend import Counting

from corewise.backends.contract import Scope
from corewise.backends.limits import BackendLimits
from corewise.backends.outcomes import OutcomeState
from corewise.backends.reach import in_force
from corewise.errors import BackendWarning, SettingsError
from corewise.settings.model import ParallelConfig

CONFIG = ParallelConfig(
    executor="serial",
    executor_reason="",
    use_ray=False,
    num_cpus=8,
    num_threads=4,
    num_backend_threads=2,
    num_batch_jobs=1,
)


class Refusing(Counting):
    def limit(self, threads):
        raise OSError("no such function")


def limits_of(*backends):
    return BackendLimits({backend.name: backend for backend in backends}, CONFIG, {})


def states(limits):
    return [outcome.state for outcome in limits.outcomes]


def test_a_backend_that_fails_is_a_warning_and_harms_no_other():
    bad, good = Refusing(name="bad"), Counting(name="good")
    limits = limits_of(bad, good)
    with pytest.warns(BackendWarning, match=r"backend bad: failed, 7 threads \(OSError: no such function\)"):
        limits.apply()
    assert states(limits) == [OutcomeState.FAILED, OutcomeState.APPLIED]
    assert good.threads() == 2
    with limits.limit(1):
        assert good.threads() == 1
    limits.restore()
    assert good.threads() == 7


def test_a_backend_that_does_not_obey_has_failed():
    class Deaf(Counting):
        def limit(self, threads):
            pass

    limits = limits_of(Deaf())
    with pytest.warns(BackendWarning, match="2 were asked of this thread"):
        limits.apply()
    limits.restore()


def test_applying_twice_does_it_once():
    backend = Counting()
    limits = limits_of(backend)
    limits.apply()
    backend.limit(5)
    limits.apply()
    assert backend.threads() == 5
    limits.restore()
    assert backend.threads() == 7


def in_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_a_thread_that_applies_after_another_is_limited_too_and_gets_back_what_it_had():
    backend = Counting(scope=Scope.THREAD)
    backend.limit(5)
    limits = limits_of(backend)
    for _ in range(2):
        in_thread(limits.apply)
        assert backend.threads() == 5  # out of reach for any other thread
        for _ in range(2):
            limits.apply()
            assert (backend.threads(), states(limits)) == (2, [OutcomeState.APPLIED])
        limits.restore()
        assert backend.threads() == 5
    assert not limits._active


def test_what_another_thread_restores_is_over_for_a_thread_that_applied_later():
    backend = Counting(scope=Scope.THREAD)
    limits = limits_of(backend)
    in_thread(limits.apply)
    limits.apply()
    in_thread(limits.restore)
    assert not limits._active
    assert backend.threads() == 2  # out of reach for any other thread
    with limits.limit(1):
        assert backend.threads() == 1
    assert backend.threads() == 2


def test_a_thread_that_applies_inside_of_a_limit_of_its_own_keeps_that_until_it_ends():
    backend = Counting(scope=Scope.THREAD)
    limits = limits_of(backend)
    in_thread(limits.apply)
    with limits.limit(1):
        limits.apply()
        assert backend.threads() == 1
    assert backend.threads() == 2
    limits.restore()
    assert backend.threads() == 7


def test_a_thread_that_applied_after_another_and_ended_leaves_nothing():
    backend = Counting(scope=Scope.THREAD)
    limits = limits_of(backend)
    limits.apply()
    assert in_thread(lambda: (limits.apply(), backend.threads())[1]) == 2
    limits.restore()
    assert backend.threads() == 7
    assert not limits._active


def test_a_limit_without_initialisation_leaves_no_import_hook_behind():
    before = list(sys.meta_path)
    with limits_of(Counting()).limit(1):
        assert len(sys.meta_path) == len(before) + 1
    assert sys.meta_path == before


def test_a_pool_that_is_built_once_is_not_limited_for_a_while():
    limits = limits_of(Counting(scope=Scope.ONCE))
    with limits.limit(1):
        assert limits.backends["counting"].threads() == 7
    with pytest.warns(BackendWarning, match="the pool of counting is built once"), limits.limit({"counting": 1}):
        pass


def test_a_limit_that_ends_in_another_thread_is_over_for_the_process():
    backend = Counting()
    limit = limits_of(backend).limit(1)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(limit.__enter__).result()
        assert backend.threads() == 1
        limit.__exit__(None, None, None)
    assert backend.threads() == 7


def test_limits_of_one_thread_that_end_out_of_turn_leave_its_count_as_found():
    backend = Counting(scope=Scope.THREAD)
    limits = limits_of(backend)
    first, second = limits.limit(1), limits.limit(2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert backend.threads() == 2
    second.__exit__(None, None, None)
    assert backend.threads() == 7


def test_a_worker_that_ends_without_a_word_gives_its_share_back():
    backend = Counting()
    limits = limits_of(backend)
    limits.apply()
    seen = []

    def work():
        limits.enter_worker(CONFIG)
        with limits.limit(1):
            seen.append(backend.threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [1]
    assert backend.threads() == 2
    limits.restore()
    assert backend.threads() == 7


def test_leaving_a_share_that_was_not_entered_does_nothing():
    backend = Counting()
    limits_of(backend).leave_worker()
    assert backend.threads() == 7


def test_an_interrupt_while_a_limit_begins_ends_what_had_begun():
    class Interrupted(Counting):
        def limit(self, threads):
            if not self.state.setdefault("interrupted", False):
                self.state["interrupted"] = True
                raise KeyboardInterrupt

    first = Counting(name="first")
    limits = limits_of(first, Interrupted(name="second"))
    with pytest.raises(KeyboardInterrupt), limits.limit({"first": 1, "second": 1}):
        pass
    assert first.threads() == 7


@pytest.fixture
def worker():
    """A thread that runs what it is given."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda call, *args: pool.submit(call, *args).result()


def test_a_worker_that_leaves_under_a_limit_gets_back_what_it_had(worker):
    backend = Counting(scope=Scope.THREAD)
    limits = limits_of(backend)
    with limits.limit(1):
        worker(limits.enter_worker, CONFIG)
        assert worker(backend.threads) == 1
        worker(limits.leave_worker)
        assert worker(backend.threads) == 7
    assert not limits._active
    assert not in_force.reaching(())


def test_a_worker_that_ends_without_a_word_under_a_limit_leaves_nothing():
    backend = Counting(scope=Scope.THREAD)
    limits = limits_of(backend)
    with limits.limit(1):
        assert in_thread(lambda: (limits.enter_worker(CONFIG), backend.threads())[1]) == 1
    assert not limits._active


def test_limits_that_end_out_of_turn_end_so_in_a_worker(worker):
    backend = Counting(scope=Scope.THREAD)
    limits = limits_of(backend)
    worker(limits.enter_worker, CONFIG)
    first, second = limits.limit(2), limits.limit(1)
    seen = []
    for change in (first.__enter__, second.__enter__, first.__exit__, second.__exit__):
        change(*(None,) * 3 if change.__name__ == "__exit__" else ())
        worker(limits.refresh_worker)
        seen.append(worker(backend.threads))
    worker(limits.leave_worker)
    assert seen == [2, 1, 1, 2]
    assert worker(backend.threads) == 7
    assert not limits._active


def test_of_limits_by_several_threads_a_worker_hears_the_one_that_asks_for_least(worker):
    backend = Counting(scope=Scope.THREAD)
    limits = limits_of(backend)
    with ThreadPoolExecutor(1) as other:
        theirs, mine = limits.limit(1), limits.limit(2)
        other.submit(theirs.__enter__).result()
        with mine:
            worker(limits.enter_worker, CONFIG)
            assert worker(backend.threads) == 1
            assert backend.threads() == 2
        other.submit(theirs.__exit__, None, None, None).result()
    worker(limits.leave_worker)
    assert not limits._active


def test_a_limit_is_judged_when_it_is_made_and_may_be_entered_again():
    backend = Counting()
    limits = limits_of(backend)
    with pytest.raises(SettingsError, match="argument backends: must be a whole number from 1, got 0"):
        limits.limit(0)
    with pytest.raises(SettingsError, match="argument backends: counting: must be at most"):
        limits.limit({"counting": 10**22})
    limit = limits.limit(1)
    for _ in range(2):
        with limit, limit:
            assert backend.threads() == 1
        assert backend.threads() == 7
    assert limit(backend.threads)() == 1
    with pytest.raises(RuntimeError, match="limit: it does not hold, so it cannot end"):
        limit.__exit__(None, None, None)


def test_a_limit_that_two_threads_enter_ends_in_each_by_itself(worker):
    backend = Counting(scope=Scope.THREAD)
    limit = limits_of(backend).limit(1)
    worker(limit.__enter__)
    with limit:
        assert worker(backend.threads) == 1
        worker(limit.__exit__, None, None, None)
        assert worker(backend.threads) == 7
        assert backend.threads() == 1
    assert backend.threads() == 7
