import threading

import psutil
import pytest

from corewise.plugins.checks import CheckContext
from corewise.settings.model import ParallelConfig
from corewise_ray import doctor

ray = pytest.importorskip("ray", reason="Ray is installed for one Python only")

# Ray opens connections when the cluster is asked.
pytestmark = pytest.mark.leaves("file descriptors")


@pytest.fixture(scope="module", autouse=True)
def address(local_cluster):
    return local_cluster.get_runtime_context().gcs_address


def findings():
    config = ParallelConfig(
        executor="ray",
        executor_reason="",
        use_ray=True,
        num_cpus=2,
        num_threads=2,
        num_backend_threads=1,
        num_batch_jobs=2,
    )
    return list(doctor.check(CheckContext(config=config)))


def test_it_tells_address_nodes_and_resources_of_the_cluster_that_was_joined(address):
    version, cluster = findings()
    assert (version.level, version.message) == ("note", f"Ray {ray.__version__} is installed")
    assert cluster.level == "note"
    assert cluster.message.startswith(f"this process has joined the cluster at {address}: 1 node with 4 CPU, ")
    assert "memory" in cluster.message


@pytest.fixture
def head_that_hangs(patiently):
    [head] = [child for child in psutil.Process().children(recursive=True) if child.name() == "gcs_server"]
    head.suspend()
    yield
    head.resume()
    # The question that was asked meanwhile is answered now.
    patiently(lambda: not [thread for thread in threading.enumerate() if thread.name == "corewise-ray-doctor"])


def test_a_cluster_that_does_not_answer_is_a_warning_after_a_while(head_that_hangs):
    finding = findings()[1]
    assert finding.level == "warning"
    assert finding.message == "this process has joined a cluster that does not answer within 2 seconds"
    assert "ray status" in finding.mend
