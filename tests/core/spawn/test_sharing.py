"""What a worker keeps of shared objects and callables, and how it gets again what it does not have."""

import functools

import pytest
import spawned

from corewise.builtin.spawn import wire
from corewise.builtin.spawn.callables import MOST_KEPT


@pytest.mark.parametrize("count", [MOST_KEPT, MOST_KEPT + 1, 3 * MOST_KEPT])
def test_more_shared_objects_than_a_worker_keeps_can_be_used_in_turn(count):
    with spawned.make_executor(1) as executor:
        references = [executor.share([i]) for i in range(count)]
        for _ in range(2):
            assert [executor.submit(spawned.first_of, ref).result() for ref in references] == [*range(count)]
        assert list(executor.map(spawned.first_of, references, chunksize=1)) == [*range(count)]
        assert list(executor.map(spawned.first_of, references, chunksize=count)) == [*range(count)]
        futures = [executor.submit(spawned.first_of, ref) for ref in references * 5]
        assert [future.result() for future in futures] == [*range(count)] * 5


def test_a_shared_object_that_its_worker_has_not_dropped_yet_is_not_sent_again(tmp_path):
    path = str(tmp_path / "loads")
    with spawned.make_executor(1) as executor:
        counted = executor.share(spawned.Counted(path))
        others = [executor.share([i]) for i in range(MOST_KEPT - 1)]
        executor.submit(spawned.read_shared, counted).result()
        for ref in others:  # with the callable, one more than the worker keeps
            executor.submit(spawned.first_of, ref).result()
        assert executor.submit(spawned.read_shared, counted).result() == 7
    assert spawned.runs(path) == 1


@pytest.mark.parametrize("which", [{0}, {1}, {0, 1}], ids=["the first", "the second", "both"])
@pytest.mark.parametrize("way", ["submit", "map its items", "map its callable"])
def test_a_message_is_sent_again_with_what_it_needs_and_was_taken_back_before_it(way, which, monkeypatch, tmp_path):
    sent = []
    send = wire.Channel.send

    def lose_some(self, message):
        """Lose the callable, the shared object or both, as where the worker reads on while they are taken back."""
        if message.data[0] == wire.Kind.KEEP:
            sent.append(message.number)
            if len(sent) - 1 in which:
                return
        send(self, message)

    path = str(tmp_path / "runs")
    with spawned.make_executor(1) as executor:
        worker = executor.submit(spawned.pid).result()
        reference = executor.share([5])
        monkeypatch.setattr(wire.Channel, "send", lose_some)
        if way == "submit":
            found = [executor.submit(spawned.noted_first_of, reference, path) for _ in range(3)]
            found = [future.result() for future in found]
        elif way == "map its items":
            found = list(executor.map(spawned.noted_first_of, [reference] * 3, [path] * 3, chunksize=3))
        else:
            fn = functools.partial(spawned.noted_first_of, reference)
            found = list(executor.map(fn, [path] * 3, chunksize=3))
        assert found == [5] * 3
        assert len(set(sent)) < len(sent), "something was sent again"
        assert executor.submit(spawned.pid).result() == worker
    assert spawned.runs(path) == 3
