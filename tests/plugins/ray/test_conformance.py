import pytest

from corewise.testing import ExecutorConformance
from corewise_ray.plugin import corewise_executors

pytest.importorskip("ray", reason="Ray is installed for one Python only")

# Ray opens a connection to each worker when it is first used.
pytestmark = pytest.mark.leaves("file descriptors")


@pytest.fixture(scope="module", autouse=True)
def _cluster(local_cluster):
    """Every executor of this module joins it."""


class TestRay(ExecutorConformance):
    factory = corewise_executors()[0]
