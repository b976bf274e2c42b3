"""An object in each worker of a ``ProcessPoolExecutor``, as one writes it by hand: the peer of ``multiprocess``."""

import asyncio


def make(kind):
    """Make the object of a worker of the peer, and its event loop."""
    global obj, loop  # noqa: PLW0603 - what an initializer of ProcessPoolExecutor has for memory
    loop = asyncio.new_event_loop()
    obj = kind()


async def awaited(method, arguments):
    result = getattr(obj, method)(*arguments)
    return await result if asyncio.iscoroutine(result) else result


def call_peer(method, *arguments):
    return loop.run_until_complete(awaited(method, arguments))
