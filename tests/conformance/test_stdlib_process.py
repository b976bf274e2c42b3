from stdlib_process import corewise_executors

from corewise.testing import ExecutorConformance


class TestStdlibProcess(ExecutorConformance):
    factory = corewise_executors()[0]
