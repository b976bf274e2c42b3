"""The kit for plugin authors: a conformance suite for backends and one for executors.

A suite is a class of tests: a subclass of a few lines names what is tested, and pytest collects it. ``check_backend``
and ``check_executor`` run the same without a test runner.

Example, a whole test file::

    from corewise.testing import ExecutorConformance
    from corewise_example.plugin import corewise_executors


    class TestExample(ExecutorConformance):
        factory = corewise_executors()[0]
"""

from corewise.testing.backend import BackendConformance
from corewise.testing.executor import ExecutorConformance
from corewise.testing.running import check_backend, check_executor
from corewise.testing.standalone import open_executor

__all__ = ["BackendConformance", "ExecutorConformance", "check_backend", "check_executor", "open_executor"]
