"""The hooks. Each docstring holds a complete plugin: a module to paste, named by an entry point in group ``corewise``.

Registration hooks (``corewise_backends``, ``corewise_executors``, ``corewise_checks``, ``corewise_hookspecs``) are
called once, when plugins are loaded: they return frozen objects, import nothing heavy and do no work. An implementation
takes the arguments that it needs and leaves out the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from corewise.plugins.marker import hookspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from corewise.backends.contract import Backend
    from corewise.executors.contract import ExecutorFactory
    from corewise.executors.worker import Worker
    from corewise.plugins.calling import Hooks
    from corewise.plugins.checks import Check


@hookspec
def corewise_backends(hooks: Hooks) -> Iterable[Backend]:
    """Return the backends that this plugin can limit.

    Example::

        import os, sys
        import attrs, corewise
        from corewise.backends.contract import Backend


        @attrs.frozen(kw_only=True)
        class Numexpr(Backend):
            name: str = "numexpr"
            imports: tuple[str, ...] = ("numexpr",)
            variables: tuple[str, ...] = ("NUMEXPR_NUM_THREADS",)

            def loaded(self):
                return "numexpr" in sys.modules

            def env(self, threads):
                return {"NUMEXPR_NUM_THREADS": str(threads)}

            def limit(self, threads):
                sys.modules["numexpr"].set_num_threads(threads)

            def threads(self):
                return sys.modules["numexpr"].get_num_threads()


        @corewise.hookimpl
        def corewise_backends():
            return [Numexpr()]
    """
    raise NotImplementedError


@hookspec
def corewise_executors(hooks: Hooks) -> Iterable[ExecutorFactory]:
    """Return the executors that this plugin can make.

    Example::

        import corewise
        from corewise.executors.contract import ExecutorFactory


        def create(request):
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            return ProcessPoolExecutor(request.workers, mp_context=get_context("spawn"))


        @corewise.hookimpl
        def corewise_executors():
            return [ExecutorFactory(name="stdlib", create=create, processes=True)]
    """
    raise NotImplementedError


@hookspec
def corewise_checks(hooks: Hooks) -> Iterable[Check]:
    """Return checks for ``corewise doctor``.

    Example::

        import shutil
        import corewise
        from corewise.plugins.checks import Check, Finding


        def check(context):
            if shutil.which("nvidia-smi") is None:
                yield Finding("gpu", "note", "no NVIDIA driver is on the path")


        @corewise.hookimpl
        def corewise_checks():
            return [Check(name="gpu", run=check)]
    """
    raise NotImplementedError


@hookspec
def corewise_hookspecs() -> Iterable[object]:
    """Return modules or classes that declare hooks of this plugin's own, for other plugins to implement.

    Their names start with ``corewise_NAME_``, NAME being the name of this plugin's entry point. This plugin calls them
    through ``hooks``, which every other registration hook is given on request. Implementations elsewhere are marked
    ``@corewise.hookimpl(optionalhook=True)``, so that they may be installed where this plugin is not.

    Example (entry point ``pools``)::

        import attrs, corewise
        from corewise.plugins.checks import Check, Finding
        from corewise.plugins.marker import hookspec


        class PoolHooks:
            @hookspec
            def corewise_pools_sizes(self, minimum):
                '''Return the sizes of the pools that have at least ``minimum`` threads.'''


        @corewise.hookimpl
        def corewise_hookspecs():
            return [PoolHooks]


        @corewise.hookimpl
        def corewise_checks(hooks):
            def check(context):
                for sizes in hooks.call("corewise_pools_sizes", minimum=2):
                    yield Finding("pools", "note", f"pools of {sizes} threads")

            return [Check(name="pools", run=check)]
    """
    raise NotImplementedError


@hookspec
def corewise_worker_env(worker: Worker) -> Mapping[str, str]:
    """Return variables for a worker process that has not started yet: pin an accelerator, size a pool.

    A variable that the user set himself is not overwritten.

    Example::

        import corewise


        @corewise.hookimpl
        def corewise_worker_env(worker):
            return {"CUDA_VISIBLE_DEVICES": str(worker.index % 4)}
    """
    raise NotImplementedError


@hookspec
def corewise_worker_start(worker: Worker) -> None:
    """Run inside a worker, in its thread or process, before its first task.

    Example::

        import corewise


        @corewise.hookimpl
        def corewise_worker_start(worker):
            import random

            random.seed(worker.index)
    """


@hookspec
def corewise_worker_stop(worker: Worker) -> None:
    """Run inside a worker that ends in good order, after its last task.

    Example::

        import corewise


        @corewise.hookimpl
        def corewise_worker_stop(worker):
            import logging

            logging.getLogger("example").info("worker %d is done", worker.index)
    """
