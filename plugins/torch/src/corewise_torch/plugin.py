"""The two thread pools of torch as backends of corewise."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from corewise import hookimpl
from corewise.backends.contract import Backend, Scope, number_from, visible_cpus


@attrs.frozen(kw_only=True)
class Torch(Backend):
    """The threads that work on one operation.

    torch keeps the number for each thread, and beside it one for threads that have not used torch yet: the number
    that was set last, by whichever thread. It is limited whatever variables the user has set.
    """

    name: str = "torch"
    imports: tuple[str, ...] = ("torch",)
    scope: Scope = Scope.THREAD
    reads: tuple[str, ...] = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    summary: str = "torch, threads within an operation"

    def loaded(self) -> bool:
        """Whether torch has been imported, to its end."""
        return _torch_is_loaded()

    def env(self, threads: int) -> Mapping[str, str]:
        """``OMP_NUM_THREADS``: torch's operations run on OpenMP."""
        return {"OMP_NUM_THREADS": str(threads)}

    def natural(self) -> int:
        """The number in the first variable that torch follows, else one per physical core."""
        return number_from(("MKL_NUM_THREADS", "OMP_NUM_THREADS")) or _cores() or visible_cpus()

    def limit(self, threads: int) -> None:
        """Limit the calling thread."""
        sys.modules["torch"].set_num_threads(threads)

    def threads(self) -> int:
        """The number of the calling thread."""
        found: int = sys.modules["torch"].get_num_threads()
        return found

    def fallback(self) -> int:
        """The number of a thread that has not used torch yet: only such a thread can tell."""
        found: int = _in_new_thread(sys.modules["torch"].get_num_threads)
        return found

    def limit_fallback(self, threads: int) -> None:
        """Limit threads that have not used torch yet; no other thread's number changes."""
        _in_new_thread(lambda: sys.modules["torch"].set_num_threads(threads))

    def info(self) -> Mapping[str, Any]:
        """Version of torch, and how it runs in parallel."""
        torch = sys.modules["torch"]
        return {"version": str(torch.__version__), "parallel": torch.__config__.parallel_info()}


@attrs.frozen(kw_only=True)
class TorchInterop(Backend):
    """The threads on which torch runs several operations at once. Their number can be set once, before their use.

    Before that, torch tells a number that it has not settled on: it is not asked until it was limited here.
    """

    name: str = "torch_interop"
    imports: tuple[str, ...] = ("torch",)
    scope: Scope = Scope.ONCE
    summary: str = "torch, operations at once"
    _limited: list[int] = attrs.field(factory=list, eq=False, repr=False, init=False)

    def loaded(self) -> bool:
        """Whether torch has been imported, to its end."""
        return _torch_is_loaded()

    def env(self, threads: int) -> Mapping[str, str]:  # noqa: ARG002 - the contract's
        """Nothing: torch reads no variable for this."""
        return {}

    def limit(self, threads: int) -> None:
        """Set the number, unless torch says that it is too late."""
        torch = sys.modules["torch"]
        if torch.get_num_interop_threads() != threads:
            # torch raises where it is too late; corewise sees that from the number.
            with contextlib.suppress(RuntimeError):
                torch.set_num_interop_threads(threads)
        self._limited.append(os.getpid())

    def threads(self) -> int | None:
        """The number that torch has settled on; None where nothing is known to have settled it."""
        if os.getpid() not in self._limited:
            return None
        found: int = sys.modules["torch"].get_num_interop_threads()
        return found


def _torch_is_loaded() -> bool:
    return hasattr(sys.modules.get("torch"), "set_num_interop_threads")


def _in_new_thread(call: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()), name="corewise-torch-fallback")
    thread.start()
    thread.join()
    return results[0]


def _cores() -> int:
    """Return how many physical cores the process may run on; 0 where the system does not say."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    files = (Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in cpus)
    return len({file.read_text() for file in files if file.exists()})


@hookimpl
def corewise_backends() -> list[Backend]:
    """Offer the backends."""
    return [Torch(), TorchInterop()]
