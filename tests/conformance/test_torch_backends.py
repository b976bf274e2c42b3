import importlib.util

import pytest

from corewise.testing import BackendConformance
from corewise_torch.plugin import Torch, TorchInterop

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: see CONTRIBUTING.md"
)


class TestTorch(BackendConformance):
    backend = Torch()


class TestTorchInterop(BackendConformance):
    backend = TorchInterop()
