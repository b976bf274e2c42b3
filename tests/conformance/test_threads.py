import pytest

from corewise.builtin.threads import corewise_executors
from corewise.testing import ExecutorConformance


# On builds with a GIL the executor warns once, which has a test of its own.
@pytest.mark.filterwarnings("ignore:executor 'threads'::")
class TestThreads(ExecutorConformance):
    factory = corewise_executors()[0]
