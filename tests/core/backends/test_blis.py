"""Limits on the real BLIS, each test in a process of its own.

The wheel ``blis`` has the library within an extension module that exports its functions. A copy of that file under the
library's usual name is a BLIS like any other.
"""

import importlib.util
import shutil
from pathlib import Path

import pytest
from fresh_process import fresh


@pytest.fixture
def load(tmp_path):
    spec = importlib.util.find_spec("blis")
    if spec is None:
        pytest.skip("blis is not installed: uv sync --group backends")
    shutil.copy(next(Path(spec.origin).parent.glob("py.*.so")), tmp_path / "libblis.so")
    return f"""
import ctypes
blis = ctypes.CDLL({str(tmp_path / "libblis.so")!r})
def live():
    return max(blis.bli_thread_get_num_threads(), 1)  # -1: nobody has said anything
"""


def test_blis_is_limited_and_given_back(load):
    found = fresh(
        load + "blis.bli_thread_set_num_threads(6); corewise.ensure_parallel_init(num_backend_threads=3);"
        "limited = [live(), in_thread(live), outcome('blis')]; corewise.reset(); report([limited, live()])"
    )
    assert found == [[3, 3, ["applied", 3, 3]], 6]


def test_worker_threads_get_their_share_of_blis(load):
    found = fresh(
        load
        + """
corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
before = live()
with corewise.executor("threads", workers=4) as pool:
    inside = list(pool.map(lambda _: live(), [0]))
report([before, inside, live()])
""",
        warnings="ignore",
    )
    assert found == [4, [1], 4]


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"])
def test_a_variable_of_the_user_leaves_blis_alone(load, name):
    found = fresh(
        load + "corewise.ensure_parallel_init(num_backend_threads=3); report([live() == 3, outcome('blis')[0]])",
        variables={name: "2"},
    )
    assert found == [False, "left alone"]
