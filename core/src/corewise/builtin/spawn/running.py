"""What a worker runs: the items of a chunk, and tasks, each noted in the page as it begins.

Imported by every worker: it imports little.
"""

from __future__ import annotations

from itertools import compress, count, repeat
from operator import not_
from sys import getrefcount
from time import monotonic_ns

from corewise.builtin.spawn import packing, page
from corewise.executors.frozen import ATOMS, freeze, freeze_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from corewise.builtin.spawn.wire import Received

__all__ = ["Calls", "Items", "watch_calls"]


class _PageWitness:
    """Notes in the page which calls run; the ``Witness`` of a worker.

    The words of ``_free`` belong to no thread; taking one and giving it back are single operations on a list.
    """

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._free = [*range(page.THREADS, len(words))]

    def call(self) -> int:
        """Return the number of the call that the main thread makes."""
        return page.call_of(self._words[page.FRAME], self._words[page.BEGUN])

    def stop_clock(self) -> None:
        """Let the message that runs begin at the end of time."""
        self._words[page.SINCE] = page.NEVER

    def start_clock(self) -> None:
        """Let the message that runs begin now."""
        self._words[page.SINCE] = monotonic_ns()

    def runs(self, call: int) -> None:
        """Note whose step runs."""
        self._words[page.CALL] = call

    def run_beside(self, call: int, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run a function in the calling thread, and note whose it is as long as there is a word for it."""
        try:
            word = self._free.pop()
        except IndexError:
            return function(*args)
        self._words[word] = call
        try:
            return function(*args)
        finally:
            self._words[word] = 0
            self._free.append(word)


def watch_calls(words: memoryview) -> Callable[[int, Any], Any]:
    """Have it noted in the page which of the calls that answer later runs; returns what freezes all but these."""
    from corewise.executors.deferred import Deferred, watch, witness

    if witness() is None:
        watch(_PageWitness(words))
    return lambda references, result: result if type(result) is Deferred else freeze(references, result)


class Items:
    """Items of a chunk that note in the page which of them has begun, at the speed of C, and are loaded one by one.

    ``compress`` asks the second iterator, which writes to the page, before it hands out the item; so also an item
    that ends the process while it is loaded is known.
    """

    def __init__(self, items: list[Any], words: memoryview | None, load: Callable[[Any], Any] | None) -> None:
        self._items = items
        self._words = words
        self._load = load

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        items: Iterator[Any] = iter(self._items)
        if self._words is not None:
            # Writing gives None, and `not None` is what compress lets through.
            marks = map(not_, map(self._words.__setitem__, repeat(page.BEGUN), count(1)))
            items = compress(items, marks)
        return items if self._load is None else map(self._load, items)


class Calls:
    """Runs one task after the other, notes which has begun, and runs none that the pool has taken back.

    What a task gives is frozen before the next one runs, which may change it; so another thread may send it.
    The main thread appends to ``_results`` and ``_failures``; whoever holds the server's lock takes from them.
    """

    def __init__(self, kept: dict[int, Any], words: memoryview, received: Received) -> None:
        self.number: int = received.number
        self._kept = kept
        self._words = words
        self._results: list[Any] = []
        self._failures: dict[int, BaseException] = {}
        self._taken = 0

    def run(self, tasks: Sequence[tuple[Any, ...]], buffers: Sequence[Any]) -> None:
        """Run the tasks; nothing that they raise escapes. The buffers are kept no longer: the answer reports them."""
        load = packing.unpacker(buffers)
        words, number, kept, add = self._words, self.number, self._kept, self._results.append
        several = len(tasks) > 1
        for place, task in enumerate(tasks):
            words[page.BEGUN] = place + 1
            if words[page.REVOKED] == number:  # the pool gets the rest back
                return
            try:
                result = self._loaded(task, load) if task[1] is None else kept[task[0]](*task[1])
                if several and type(result) not in ATOMS:
                    result = freeze(getrefcount(result), result)
            except BaseException as error:  # noqa: BLE001 - every failure belongs to its task
                self._failures[place] = freeze_error(error) if several else error
                result = None
            add(result)
            result = None  # a large one must not outlive its answer

    def _loaded(self, task: tuple[Any, ...], load: Callable[[Any], Any]) -> Any:
        fn, arguments, keywords = load(task[2])
        return (self._kept[task[0]] if fn is None else fn)(*arguments, **keywords)

    def take(self) -> tuple[list[Any], dict[int, BaseException]]:
        """Return the results that have come since the last time, and the failures by position among them."""
        end = len(self._results)
        begin, self._taken = self._taken, end
        results = self._results[begin:end]
        self._results[begin:end] = [None] * (end - begin)
        failures = {place - begin: self._failures.pop(place) for place in range(begin, end) if place in self._failures}
        return results, failures
