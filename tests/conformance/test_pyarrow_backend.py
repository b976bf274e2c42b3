from pyarrow_backend import corewise_backends

from corewise.testing import BackendConformance


class TestPyArrow(BackendConformance):
    backend = corewise_backends()[0]
