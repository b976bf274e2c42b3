"""Executors of every kind, made without a runtime: what the map engine is tried on."""

import multiprocessing
import socket
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from tasks import wait_for_the_others

from corewise.builtin.serial import corewise_executors as serial
from corewise.builtin.spawn.plugin import corewise_executors as spawn
from corewise.builtin.threads import corewise_executors as threads
from corewise.errors import ExecutorWarning
from corewise.executors.contract import ExecutorFactory, ExecutorRequest
from corewise.executors.facade import Executor
from corewise.executors.worker import Worker

__all__ = ["KINDS", "USUAL_KINDS", "make_executor", "request_for", "start_all_workers"]


def _foreign_threads(request):
    return ThreadPoolExecutor(request.workers)


def _foreign_processes(request):
    return ProcessPoolExecutor(request.workers, multiprocessing.get_context("spawn"))


def _slow_processes(request):
    # Workers that take their time to start, as those that import a large library do.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(request.workers, context, initializer=time.sleep, initargs=(1.5,))


FACTORIES = [
    *serial(),
    *threads(),
    *spawn(),
    ExecutorFactory(name="foreign_threads", create=_foreign_threads, shares_memory=True),
    ExecutorFactory(name="foreign_processes", create=_foreign_processes, processes=True),
    ExecutorFactory(name="slow_processes", create=_slow_processes, processes=True),
]
KINDS = {factory.name: factory for factory in FACTORIES}
USUAL_KINDS = sorted(KINDS.keys() - {"slow_processes"})


def nothing(worker):
    """Start or stop a worker that needs nothing."""


def request_for(factory, workers):
    def worker(index):
        return Worker(index, workers, factory.name, None, in_thread=factory.shares_memory)

    return ExecutorRequest(
        workers=workers,
        settings=factory.settings(),
        worker=worker,
        environment=lambda index: {},
        start_worker=nothing,
        stop_worker=nothing,
    )


def make_executor(kind, workers=2):
    factory = KINDS[kind]
    request = request_for(factory, workers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExecutorWarning)
        return Executor(factory, request, factory.create(request))


def start_all_workers(executor):
    """Return when every worker has run something: pools start theirs only as they are needed."""
    if executor.factory.in_caller:
        return
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(60)
        listener.bind(address := f"{folder}/socket")
        listener.listen(executor.workers)
        futures = [executor.submit(wait_for_the_others, address) for _ in range(executor.workers)]
        arrived = [listener.accept()[0] for _ in futures]
        for connection in arrived:
            connection.close()
    for future in futures:
        future.result(timeout=60)
