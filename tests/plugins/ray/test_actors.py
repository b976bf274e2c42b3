import os

import pytest
from ray_objects import Counter, Meeting

import corewise
from corewise.errors import ItemTimeoutError, WorkerDiedError

pytest.importorskip("ray", reason="Ray is installed for one Python only")

# Ray opens a connection to each worker when it is first used; the module resets what was resolved.
pytestmark = pytest.mark.leaves("file descriptors", "runtime")


@pytest.fixture(scope="module", autouse=True)
def _cluster(local_cluster):
    yield
    corewise.reset()


@pytest.fixture
def pool():
    with corewise.actors(Counter, 10, num_workers=2, executor="ray") as pool:
        yield pool


def test_each_worker_has_its_own_object_which_keeps_its_state(pool):
    assert [future.result(timeout=60) for future in pool.each("add", 1)] == [11, 11]
    assert [future.result(timeout=60) for future in pool.each("add", 1)] == [12, 12]
    pids = {future.result(timeout=60) for future in pool.each("pid")}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_map_shares_the_items_among_the_objects(pool):
    assert list(pool.map("double", range(100))) == [2 * x for x in range(100)]


def test_an_error_of_a_method_arrives_as_itself(pool):
    with pytest.raises(ZeroDivisionError):
        pool.call("fail").result(timeout=60)


def test_an_error_of_the_factory_is_raised_where_actors_are_made():
    with pytest.raises(TypeError, match="Counter"):
        corewise.actors(Counter, num_workers=1, executor="ray")


def test_a_worker_that_dies_is_made_again_with_its_object(pool):
    with pytest.raises(WorkerDiedError):
        pool.call("die").result(timeout=120)
    assert [future.result(timeout=120) for future in pool.each("double", 4)] == [8, 8]


def test_a_timeout_ends_that_call_alone(pool):
    results = list(pool.map("sleep_on_two", range(5), item_timeout=1, on_error="return"))
    assert [r for r in results if isinstance(r, int)] == [0, 1, 3, 4]
    assert isinstance(results[2].error, ItemTimeoutError)


def test_calls_of_async_methods_run_at_the_same_time():
    with corewise.actors(Meeting, 3, num_workers=1, executor="ray") as pool:
        futures = [pool.call("meet") for _ in range(3)]
        assert [future.result(timeout=60) for future in futures] == [3, 3, 3]


def test_closing_lets_the_objects_clean_up(tmp_path):
    with corewise.actors(Counter, 0, str(tmp_path / "closed"), num_workers=1, executor="ray") as pool:
        assert pool.call("add", 1).result(timeout=60) == 1
    assert (tmp_path / "closed").read_text() == "1"
