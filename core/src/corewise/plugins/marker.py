"""The markers for hooks. A complete plugin is one module and one entry point.

The module ``corewise_example/plugin.py``::

    from concurrent.futures import ThreadPoolExecutor

    import corewise
    from corewise.executors.contract import ExecutorFactory


    @corewise.hookimpl
    def corewise_executors():
        return [ExecutorFactory(name="example", create=lambda request: ThreadPoolExecutor(request.workers))]

and in the distribution's pyproject.toml::

    [project.entry-points.corewise]
    example = "corewise_example.plugin"

After ``pip install``, ``corewise plugins`` lists it and ``corewise.executor("example")`` runs on it.
"""

import pluggy

__all__ = ["hookimpl", "hookspec"]

hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker("corewise")
"""Marks a function as the implementation of the hook of the same name."""

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker("corewise")
"""Marks a function as the declaration of a hook that other plugins implement; see ``corewise_hookspecs``."""
