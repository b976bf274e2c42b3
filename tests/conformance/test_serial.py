from corewise.builtin.serial import corewise_executors
from corewise.testing import ExecutorConformance


class TestSerial(ExecutorConformance):
    factory = corewise_executors()[0]
