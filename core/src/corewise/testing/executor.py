"""The conformance suite of executors: one body of tests, a few lines for each executor."""

from __future__ import annotations

from corewise.testing.executor_calls import CallChecks
from corewise.testing.executor_maps import MapChecks

__all__ = ["ExecutorConformance"]


class ExecutorConformance(CallChecks, MapChecks):
    """Everything that an executor promises, as tests that pytest or any other runner collects.

    Set ``factory`` in a subclass; override ``make`` to test the executor as ``corewise.executor`` makes it.

    Example, a whole test file::

        from corewise.testing import ExecutorConformance
        from corewise_example.plugin import corewise_executors


        class TestExample(ExecutorConformance):
            factory = corewise_executors()[0]
    """
