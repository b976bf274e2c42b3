"""Workers are killed at random, all the time: every result is right, and nothing grows."""

import gc
import logging
import os
import random
import signal
import threading
import time
from concurrent.futures import as_completed

import attrs
import numpy as np
import psutil
import pytest
import spawned
from faults import NARROW

_log = logging.getLogger("soak")  # shown by --log-cli-level=INFO
SHORT = 10.0 if NARROW else 30.0
LONG = 600.0
KILL_EVERY = 0.2
MOST_BLOCKS = 16
"""What a round may have under way more than the one before."""


class Killer(threading.Thread):
    """Kills one worker of a pool at random every 200 ms, until it is stopped, and of some the successor as it starts.

    On a loaded machine no worker would ever get through its imports, so nobody is killed before there was a result.
    """

    def __init__(self, executor):
        super().__init__()
        self.core = executor.within._core
        self.kills = self.kills_of_starting = 0
        self.over = threading.Event()
        self.progress = threading.Event()

    def run(self):
        chance = random.Random(7)  # noqa: S311 - no secret
        while not self.over.wait(KILL_EVERY):
            self.progress.wait()
            self.progress.clear()
            self.kill(lambda process: True, chance)
            if chance.random() < 0.3:
                end = time.monotonic() + KILL_EVERY
                while not self.kill(lambda process: not process.answered, chance) and time.monotonic() < end:
                    self.over.wait(0.001)

    def kill(self, wanted, chance):
        """Kill one of the wanted workers; return whether there was one."""
        with self.core.lock:
            processes = [process for process in self.core.processes if wanted(process)]
            if not processes:
                return False
            process = chance.choice(processes)
            os.kill(process.pid, signal.SIGKILL)
            self.kills += 1
            self.kills_of_starting += not process.answered
            return True

    def watched(self, results):
        """Pass results on."""
        for result in results:
            self.progress.set()
            yield result

    def stop(self):
        """End this thread."""
        self.over.set()
        self.progress.set()
        self.join()


@attrs.frozen
class Use:
    """What the program uses.

    Attributes:
        files: How many descriptors it has open.
        memory: Its resident memory, in bytes.
        threads: How many threads it has.
        blocks: How many blocks of shared memory its pool has.
    """

    files: int
    memory: int
    threads: int
    blocks: int


def measure(executor):
    gc.collect()
    blocks = len(executor.within._core.store)
    return Use(spawned.open_files(), psutil.Process().memory_info().rss, threading.active_count(), blocks)


def one_round(executor, seed, watched):
    """Use the pool in every way that it has, and check every result."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    futures = {executor.submit(spawned.work_a_little, x): x for x in range(200)}
    for future in watched(as_completed(futures, timeout=100)):
        assert future.result() == 2 * futures[future]
    size = chance.randrange(1, 5000)
    assert list(watched(executor.map(spawned.double, range(size)))) == [2 * x for x in range(size)]
    assert sorted(watched(executor.map(spawned.work_a_little, range(100), ordered=False))) == [
        2 * x for x in range(100)
    ]
    arrays = [np.full(20_000, float(x)) for x in range(20)]
    for x, array in enumerate(watched(executor.map(np.negative, arrays))):
        assert array[0] == array[-1] == -x
    factor = np.arange(50_000)
    assert list(watched(executor.map(lambda x: int(factor[x]), range(300)))) == list(range(300))


def soak(seconds):
    # No item is at fault here, so none may be given up however often its worker is killed.
    with spawned.make_executor(max_crashes=1000) as executor:
        killer = Killer(executor)
        killer.start()
        try:
            end = time.monotonic() + seconds
            one_round(executor, 0, killer.watched)
            before, rounds = measure(executor), 1
            while time.monotonic() < end or rounds < 2:
                one_round(executor, rounds, killer.watched)
                rounds += 1
            after = measure(executor)
        finally:
            killer.stop()
        _log.info("%d rounds, %d kills, %d of them while starting", rounds, killer.kills, killer.kills_of_starting)
        _log.info("before: %s", before)
        _log.info("after: %s", after)
        assert killer.kills >= seconds / 4
        assert killer.kills_of_starting > 0
        assert after.files <= before.files + 16, "those of one worker more belong to one that is being replaced"
        assert after.memory <= before.memory + (64 << 20)
        assert after.threads == before.threads
        assert after.blocks <= before.blocks + MOST_BLOCKS


def test_killing_workers_at_random_loses_nothing_and_leaks_nothing():
    soak(SHORT)


@pytest.mark.slow
@pytest.mark.timeout(LONG + 120)
def test_killing_workers_at_random_for_ten_minutes_loses_nothing_and_leaks_nothing():
    soak(LONG)
