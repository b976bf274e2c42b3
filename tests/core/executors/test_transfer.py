import functools
import pickle
import subprocess
import sys

import numpy as np
import pytest

from corewise import RemoteError, RemoteTraceback
from corewise.executors import transfer


class NeedsArgumentsError(Exception):
    def __init__(self, code, *, hint):
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


class HoldsLockError(Exception):
    def __init__(self):
        super().__init__("has a lock")
        import threading

        self.lock = threading.Lock()


class BrokenTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class OpaqueError(Exception):
    def __getattr__(self, name):
        raise RuntimeError(name)


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def crossed(error):
    return transfer.unpack_exception(transfer.pack_exception(raised(error)))


def test_a_plain_exception_arrives_as_itself_with_the_remote_traceback_as_cause():
    error = crossed(KeyError("k"))
    assert type(error) is KeyError
    assert error.args == ("k",)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in raised" in str(error.__cause__)


def test_an_exception_whose_init_needs_arguments_keeps_class_and_attributes():
    error = crossed(NeedsArgumentsError(7, hint="look up"))
    assert type(error) is NeedsArgumentsError
    assert (error.code, error.hint, str(error)) == (7, "look up", "code 7")


def test_notes_travel_with_the_exception():
    error = ValueError("v")
    error.add_note("item 3")
    assert crossed(error).__notes__ == ["item 3"]


def test_an_exception_that_cannot_be_pickled_arrives_as_remote_error_with_text_and_traceback():
    error = crossed(HoldsLockError())
    assert isinstance(error, RemoteError)
    assert str(error).endswith("HoldsLockError: has a lock")
    assert error.type_name.endswith("HoldsLockError")
    assert "in raised" in error.traceback


def test_an_exception_whose_text_cannot_be_made_still_arrives():
    assert type(crossed(BrokenTextError())) is BrokenTextError


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_exceptions_that_end_programs_cross_as_themselves(error):
    assert type(crossed(error)) is type(error)


def test_module_level_functions_travel_by_reference_without_cloudpickle():
    code = (
        "import sys, os.path\n"
        "from corewise.executors.transfer import dumps\n"
        "data, _ = dumps(os.path.join)\n"
        "assert 'cloudpickle' not in sys.modules\n"
        "assert len(data) < 60, data\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_functions_and_classes_of_main_travel_by_value():
    code = (
        "import subprocess, sys\n"
        "from corewise.executors.transfer import dumps\n"
        "class Box:\n"
        "    def __init__(self, x): self.x = x\n"
        "def unbox(b): return b.x + 1\n"
        "data, _ = dumps((unbox, Box(41)))\n"
        "child = 'import pickle, sys; f, b = pickle.load(sys.stdin.buffer); print(f(b))'\n"
        "print(subprocess.run([sys.executable, '-c', child], input=data, capture_output=True, check=True).stdout)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
    assert b"42" in done.stdout


def test_lambdas_and_closures_travel():
    step = 5
    fn = pickle.loads(transfer.dumps_callable(functools.partial(lambda a, b: a + b + step, 1)))
    assert fn(2) == 8


def test_large_buffers_stay_out_of_the_pickle_and_small_ones_in():
    large, small = np.zeros(100_000), np.arange(10.0)
    data, buffers = transfer.dumps((large, small), minimum_buffer=64 * 1024)
    assert len(data) < 2000
    assert [b.raw().nbytes for b in buffers] == [800_000]
    copy = pickle.loads(data, buffers=buffers)
    assert np.array_equal(copy[0], large)
    assert np.array_equal(copy[1], small)


def test_buffers_are_not_collected_twice_when_cloudpickle_takes_over():
    array = np.ones(100_000)
    data, buffers = transfer.dumps((array, lambda x: x), minimum_buffer=1)
    assert len(buffers) == 1
    assert np.array_equal(pickle.loads(data, buffers=buffers)[0], array)


@pytest.mark.parametrize("kind", [BrokenTextError, OpaqueError])
def test_an_exception_that_cannot_be_formatted_says_where_it_was_raised_here_and_elsewhere(kind):
    error = crossed(kind("x"))
    text = transfer.traceback_of(raised(error))
    assert text.count("in raised\n") == 2
    assert kind.__name__ in text.rpartition("in raised")[2]
