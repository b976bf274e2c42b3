"""What the parts of the executor suite share: the factory under test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar

from corewise.executors.contract import ExecutorFactory
from corewise.executors.facade import Executor
from corewise.testing import tasks
from corewise.testing.standalone import open_executor

__all__ = ["ExecutorBase"]


class ExecutorBase:
    """Makes the executors of one suite.

    Attributes:
        factory: What is tested.
        workers: How many workers each executor has.
    """

    factory: ClassVar[ExecutorFactory]
    workers: ClassVar[int] = 2

    def make(self) -> Executor:
        """Make a fresh executor; a subclass may make it by ``corewise.executor`` instead."""
        return open_executor(self.factory, workers=self.workers)

    @contextlib.contextmanager
    def gated(self) -> Iterator[tuple[Executor, tasks.Gate]]:
        """Make an executor and a gate; the gate opens before the executor is shut down, also where a check failed."""
        with tasks.Gate() as gate, self.make() as executor:
            try:
                yield executor, gate
            finally:
                gate.open()

    def warm_up(self, executor: Executor) -> None:
        """Start all workers, so that the time they take to start does not count as that of an item."""
        if self.factory.in_caller:
            return
        with tasks.Gate() as gate:
            futures = [executor.submit(tasks.hold, gate.path, item) for item in range(executor.workers)]
            gate.wait_for(executor.workers)
            gate.open()
            for future in futures:
                future.result()
