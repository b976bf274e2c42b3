"""The process pool of the standard library as an executor plugin: what wrapping any executor takes."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import corewise
from corewise.executors.contract import ExecutorFactory


def create(request):
    return ProcessPoolExecutor(request.workers, mp_context=multiprocessing.get_context("spawn"))


@corewise.hookimpl
def corewise_executors():
    return [ExecutorFactory(name="stdlib", create=create, processes=True)]
