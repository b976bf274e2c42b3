from corewise.builtin.openblas import OpenBlas
from corewise.testing import BackendConformance


class TestOpenBlas(BackendConformance):
    backend = OpenBlas()
