import gc
import weakref

import pytest
from engines import make_executor
from tasks import Result


@pytest.fixture
def _no_garbage_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.mark.usefixtures("_no_garbage_collector")
@pytest.mark.parametrize("kind", ["threads", "foreign_threads", "foreign_processes"])
def test_results_that_were_consumed_do_not_wait_for_the_garbage_collector(kind):
    alive = weakref.WeakSet()
    most = 0
    with make_executor(kind) as executor:
        for result in executor.map(Result, range(20_000), chunksize=10, buffersize=100):
            alive.add(result)
            most = max(most, len(alive))
    assert most <= 200
