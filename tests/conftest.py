"""The house rules that hold for every test: it leaves its process as it found it, and its random examples repeat."""

import os
import signal
import uuid

import hypothesis
import pytest
from leftovers import KINDS, leftovers, observe, outliving

RUN_MARK = "TEST_RUN_MARK"

hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=200, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that runs this in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_the_run():
    """Fail the run if a process that a test started, or a grandchild that lost its parent, is still there."""
    mark = uuid.uuid4().hex
    os.environ[RUN_MARK] = mark
    yield
    del os.environ[RUN_MARK]
    assert not outliving(RUN_MARK, mark)


@pytest.fixture(autouse=True)
def _leaves_the_process_as_found(request):
    """Fail a test that leaves anything of ``leftovers.KINDS`` behind.

    ``@pytest.mark.leaves("file descriptors")`` names kinds that a test leaves on purpose; the reason stands beside it.
    """
    allowed = tuple(kind for marker in request.node.iter_markers("leaves") for kind in marker.args)
    assert set(allowed) <= KINDS.keys(), f"kinds of leftovers are {', '.join(KINDS)}"
    before = observe()
    yield
    found = leftovers(before, allowed)
    assert not found, "left behind: " + "; ".join(map(str, found))
