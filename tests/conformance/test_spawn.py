from corewise.builtin.spawn.plugin import corewise_executors
from corewise.testing import ExecutorConformance


class TestSpawn(ExecutorConformance):
    factory = corewise_executors()[0]
