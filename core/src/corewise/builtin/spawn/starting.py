"""Starting the workers of a pool, one at a time, as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corewise.builtin.spawn.forking import unforked
from corewise.builtin.spawn.launch import describe, launch
from corewise.builtin.spawn.process import Process
from corewise.builtin.spawn.wire import Kind, Message, pack
from corewise.executors.contract import ExecutorRequest
from corewise.executors.transfer import dumps_callable

if TYPE_CHECKING:
    from corewise.builtin.spawn.core import Core

__all__ = ["Starter"]


class Starter:
    """Starts workers. The pool's lock guards all of it and is held by every caller.

    Args:
        core: The pool.
        request: What its workers are, and how many there may be.
    """

    def __init__(self, core: Core, request: ExecutorRequest) -> None:
        self._core = core
        self._request = request

    def start_one(self) -> Process | None:
        """Start one more worker; None where there are as many as there may be.

        Where none runs and none can be started, everything that waits fails with the reason.
        """
        core = self._core
        if len(core.processes) >= core.limit or core.healer.holds_off():
            return None
        try:
            return self._launched()
        except BaseException as error:  # noqa: BLE001 - the hooks that make an environment may raise anything
            core.healer.cannot_start(error)
            return None

    def _launched(self) -> Process:
        taken = {process.index for process in self._core.processes}
        index = next(index for index in range(self._core.limit) if index not in taken)
        request = self._request
        record = request.worker(index)
        name = f"{record.executor}-{index}"
        hooks = None
        if request.hooks_in_workers or request.start_before:
            hooks = (dumps_callable((request.start_worker, record)), dumps_callable((request.stop_worker, record)))
        put_off = () if request.hooks_in_workers else request.start_before
        body = dumps_callable(describe(name, dumps_callable(record), hooks, put_off))
        environment = request.environment(index)
        begin = pack(self._core.store, Kind.BEGIN, 0, body, private=True)
        try:
            with unforked:
                return self._taken_in(index, name, environment, begin)
        finally:
            if begin.block is not None:
                begin.block.close()

    def _taken_in(self, index: int, name: str, environment: dict[str, str], begin: Message) -> Process:
        """Start a process, tell it who it is, and let it be read; nothing of it is left where one of these fails."""
        process = Process(index, name, launch(environment))
        try:
            process.channel.send(begin)
            self._core.reader.watch(process)
        except BaseException:
            process.kill()
            process.reap()
            process.close()
            raise
        self._core.processes.append(process)
        return process
