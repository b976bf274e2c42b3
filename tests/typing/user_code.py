"""Code as users write it: mypy --strict and pyright agree with every type asserted here. Never run."""

# pyright: strict

from collections.abc import Generator
from concurrent.futures import Future
from functools import partial
from typing import assert_type

import corewise


def half(number: int) -> float:
    return number / 2


def scale(number: float, text: str) -> bytes:
    return text.encode() * int(number)


def maps(numbers: list[int]) -> None:
    assert_type(corewise.map(half, numbers), Generator[float, None, None])
    assert_type(list(corewise.map(scale, [0.5], ["a"], executor="threads", workers=2, retries=1)), list[bytes])
    assert_type(list(corewise.map(partial(scale, 0.5), ["a"])), list[bytes])


def executors(numbers: list[int]) -> None:
    with corewise.executor("threads", workers=2) as executor:
        assert_type(executor, corewise.Executor)
        assert_type(executor.workers, int)
        assert_type(executor.submit(half, 1), Future[float])
        assert_type(list(executor.map(half, numbers, ordered=False, on_error="skip", item_timeout=1.5)), list[float])


def settings() -> None:
    corewise.configure(app=corewise.App("lenskit", env_prefix="LK_"), num_cpus=4)
    corewise.ensure_parallel_init()
    config = corewise.get_parallel_config()
    assert_type(config, corewise.ParallelConfig)
    assert_type(config.num_threads, int)
    assert_type(config.executor_reason, str)
    assert_type(corewise.effective_cpu_count(), int)
    assert_type(corewise.is_free_threaded(require_active=True), bool)


def shared(matrix: list[float]) -> None:
    reference = corewise.share(matrix)
    assert_type(reference, corewise.Shared[list[float]])
    assert_type(reference.get(), list[float])


def errors(died: corewise.WorkerDiedError, failure: corewise.Failure) -> None:
    assert_type(died.exitcode, int | None)
    assert_type(failure.index, int)
    assert_type(failure.error, BaseException)
