from concurrent.futures import Executor, Future, ThreadPoolExecutor

import faulty_backends
import pyarrow_backend
import pytest
from fresh_process import fresh

from corewise.builtin.serial import corewise_executors
from corewise.executors.contract import ExecutorFactory
from corewise.testing import check_backend, check_executor, open_executor


def claims(group):
    return {note for error in group.exceptions for note in error.__notes__}


BACKEND_FAULTS = {
    "IgnoresLimit": "a limit is read back and can be restored",
    "ForgetsVariables": "its variables limit a process that has not started yet",
    "SetsZero": "its variables are positive numbers as text",
    "SetsNumbers": "its variables are positive numbers as text",
    "ImportsToAnswer": "asking whether it is loaded imports nothing",
    "NeverLoaded": "its variables limit a process that has not started yet",
    "WrongFacts": "its facts have names",
    "WrongSettings": "its settings have the defaults of every backend",
}


@pytest.mark.parametrize(("name", "claim"), BACKEND_FAULTS.items(), ids=BACKEND_FAULTS.keys())
def test_the_kit_names_the_promise_that_a_faulty_backend_breaks(name, claim):
    with pytest.raises(ExceptionGroup, match="backend 'pyarrow' does not conform") as caught:
        check_backend(getattr(faulty_backends, name)())
    assert claim in claims(caught.value)


def test_a_good_backend_passes_without_a_test_runner():
    check_backend(pyarrow_backend.PyArrow())


class LosesErrors(Executor):
    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception:  # noqa: BLE001 - the fault on purpose
            future.set_result(None)
        return future


class TakesCallsForEver(LosesErrors):
    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - the outcome of the call
            future.set_exception(error)
        return future


class NeverCancels(ThreadPoolExecutor):
    def submit(self, fn, /, *args, **kwargs):
        future = super().submit(fn, *args, **kwargs)
        future.cancel = lambda: False
        return future


def factory(cls, **facts):
    return ExecutorFactory(name="faulty", create=lambda request: cls(), shares_memory=True, **facts)


EXECUTOR_FAULTS = {
    LosesErrors: ({"in_caller": True, "starts_workers": True}, "the exception of a call is that of its future"),
    TakesCallsForEver: ({"in_caller": True, "starts_workers": True}, "submit after shutdown is an error"),
    NeverCancels: ({}, "a call that waits can be cancelled"),
}


@pytest.mark.parametrize(("cls", "case"), EXECUTOR_FAULTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_the_kit_names_the_promise_that_a_faulty_executor_breaks(cls, case):
    facts, claim = case
    with pytest.raises(ExceptionGroup, match="executor 'faulty' does not conform") as caught:
        check_executor(factory(cls, **facts))
    assert claim in claims(caught.value)


def test_a_good_executor_passes_without_a_test_runner():
    check_executor(corewise_executors()[0])


def test_settings_of_the_factory_reach_an_executor_that_is_opened_without_configuration():
    seen = []

    def create(request):
        seen.append(request)
        return ThreadPoolExecutor(request.workers)

    with open_executor(ExecutorFactory(name="mine", create=create, shares_memory=True), workers=3) as executor:
        assert executor.workers == 3
    assert seen[0].worker(1).index == 1


def test_a_library_that_is_in_this_process_already_is_not_held_against_its_backend():
    assert (
        fresh("""
        import numpy
        from corewise.builtin.openblas import OpenBlas
        from corewise.testing import BackendConformance

        class OfOpenBlas(BackendConformance):
            backend = OpenBlas()

        OfOpenBlas().test_asking_whether_it_is_loaded_imports_nothing()
        report("done")
    """)
        == "done"
    )
