"""Batchers of other libraries, and the least code that batches, all asked in the same way.

Each function takes a batch function, and whether it blocks, and returns what a caller awaits for one item. It is called
where an event loop runs.
"""

import asyncio
import importlib.metadata
import importlib.util
import logging
import sys
import types
from itertools import accumulate

import corewise


class LeastBatcher:
    """The least code that batches: nobody may leave, fail, be too many, close, or come from elsewhere."""

    def __init__(self, function):
        self.function = function
        self.waiting = []
        self.running = None

    def __call__(self, item):
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        self.waiting.append((item, reply))
        if self.running is None:
            self.running = True
            loop.call_soon(self.send)
        return reply

    def send(self):
        batch, self.waiting = self.waiting, []
        self.running = asyncio.get_running_loop().create_task(self.run(batch))

    async def run(self, batch):
        results = await self.function([item for item, _ in batch])
        for (_, reply), result in zip(batch, results, strict=True):
            if not reply.done():
                reply.set_result(result)
        self.running = None
        if self.waiting:
            self.send()


async def echo(items):
    return items


async def closed_loop(batched, requests, *, callers):
    async def caller():
        for number in range(requests // callers):
            await batched(number)

    await asyncio.gather(*(caller() for _ in range(callers)))


async def one_gather(batched, requests):
    await asyncio.gather(*[batched(number) for number in range(requests)])


def ours(function, blocking):
    return corewise.BatchedFunction(function)


def ours_at_once(function, blocking):
    return corewise.BatchedFunction(function, max_concurrency=16)


def least(function, blocking):
    return LeastBatcher(in_thread(function) if blocking else function)


def in_thread(function):
    async def threaded(items):
        return await asyncio.get_running_loop().run_in_executor(None, function, items)

    return threaded


def asynchronous(function, blocking):
    """Return what a library that knows only async functions is given, whose users block the event loop."""

    async def pretending(items):
        return function(items)

    return pretending if blocking else function


def aiodataloader(function, blocking):
    from aiodataloader import DataLoader

    return DataLoader(batch_load_fn=asynchronous(function, blocking), cache=False).load


def async_batcher(function, blocking):
    from async_batcher.batcher import AsyncBatcher

    class Batcher(AsyncBatcher):
        if blocking:

            def process_batch(self, batch):
                return function(batch)

        else:

            async def process_batch(self, batch):
                return await function(batch)

    logging.disable(logging.ERROR)  # it logs each batch
    return Batcher(max_queue_time=0.0).process


def mixedbread_batched(function, blocking):
    from batched.aio import AsyncBatchProcessor

    return AsyncBatchProcessor(function, batch_size=10_000, timeout_ms=1.0, small_batch_threshold=0)


def genlm(function, blocking):
    class Potential:
        batch_call = staticmethod(asynchronous(function, blocking))

    loop = genlm_loop()(Potential())
    loop.start()
    return lambda item: loop.queue_request("batch_call", lambda arguments: ([*arguments[0], item],))


def genlm_loop():
    """Load the one module of genlm-control that batches: its package would import torch."""
    packages = accumulate(("genlm", ".control", ".potential", ".base"))
    sys.modules.update((name, types.ModuleType(name)) for name in packages)
    sys.modules["genlm.control.potential.base"].Potential = object
    files = importlib.metadata.files("genlm-control")
    path = next(file.locate() for file in files if file.match("potential/autobatch.py"))
    spec = importlib.util.spec_from_file_location("genlm.control.potential.autobatch", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AsyncBatchLoop


def ray_serve(function, blocking):
    from ray import serve
    from ray.serve import batching

    logging.disable(logging.ERROR)
    # It looks at the replica that it runs in, and here is none.
    batching._BatchQueue._warn_if_max_batch_size_exceeds_max_ongoing_requests = lambda queue: None
    return serve.batch(max_batch_size=10_000, batch_wait_timeout_s=0.0)(asynchronous(function, blocking))


CONTENDERS = {
    "corewise": (ours, "corewise"),
    "corewise, max_concurrency=16": (ours_at_once, "corewise"),
    "hand-written loop": (least, "corewise"),
    "aiodataloader": (aiodataloader, "aiodataloader"),
    "genlm-control": (genlm, "genlm-control"),
    "async-batcher": (async_batcher, "async-batcher"),
    "batched": (mixedbread_batched, "batched"),
    "Ray Serve": (ray_serve, "ray"),
}
"""What makes each one, and the distribution that it comes from."""
