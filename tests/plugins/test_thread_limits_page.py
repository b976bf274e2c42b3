"""Measures every library in every place, and keeps the page that shows the numbers up to date."""

import importlib.metadata
import os
from pathlib import Path

import pytest
from fresh_process import fresh

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/thread-limits.md"
COMMAND = "WRITE_PAGE=1 uv run pytest tests/plugins/test_thread_limits_page.py"

LIBRARIES = {
    "openblas": """
import numpy, threadpoolctl
def live():
    found = threadpoolctl.threadpool_info()
    return max(each["num_threads"] for each in found if each["internal_api"] == "openblas")
""",
    "mkl": """
import ctypes, pathlib
mkl = ctypes.CDLL(str(next(pathlib.Path(sys.prefix, "lib").glob("libmkl_rt.so*"))))
def live():
    return mkl.MKL_Get_Max_Threads()
""",
    "openmp": """
import ctypes
openmp = ctypes.CDLL("libgomp.so.1")
def live():
    return openmp.omp_get_max_threads()
""",
    "torch": """
import torch
def live():
    return torch.get_num_threads()
""",
    "polars": """
import polars
def live():
    return polars.thread_pool_size()
""",
    "tokenizers": """
import functools, tokenizers
@functools.cache
def live():
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="b"))
    before = len(os.listdir("/proc/self/task"))
    words.encode_batch(["a"] * 100)
    return len(os.listdir("/proc/self/task")) - before
""",
    "lenskit": """
import lenskit._accel
def live():
    return lenskit._accel.thread_count()
""",
}
ONCE = {"polars", "tokenizers", "lenskit"}
PLACES = ("main thread", "pool thread", "pool thread under limit(1)", "late import", "spawn worker", "spawned child")

INIT = "corewise.ensure_parallel_init(num_cpus=8, num_threads=3, executor='threads')\n"

POOLS = """
with corewise.executor("threads", workers=2) as pool:
    inside = pool.submit(live).result()
with corewise.executor("threads", workers=1) as pool, corewise.limit(backends=1):
    under = pool.submit(live).result()
report([main, inside, under])
"""
WORKER = """
def work():
    names = {}
    exec("import os, sys\\n" + load, names)
    return names["live"]()
with corewise.executor("spawn", workers=2) as pool:
    report(pool.submit(work).result())
"""

HEAD = f"""\
<!-- Written by tests/plugins/test_thread_limits_page.py; to write it anew: {COMMAND} -->
# Thread limits, measured

Each cell: the threads that were asked for, and those that the real library has then, read back from it. The settings
are `num_cpus = 8` and `num_threads = 3`, so `num_backend_threads` is 2; of two workers each has 4 CPUs, and 1 thread of
every library. The pools of Rayon have `num_threads` threads, and one process has one pool, whichever thread uses it.

- *main thread*: `ensure_parallel_init()` limits the library that is loaded; a pool that is built with the first use
  or, as that of polars, by the import itself, is used or imported afterwards.
- *pool thread*: seen from a thread of `corewise.executor("threads", workers=2)`.
- *pool thread under limit(1)*: the same in `with corewise.limit(backends=1)`, of one worker, whose share is 2 threads.
- *late import*: the library is imported after `ensure_parallel_init()`, without another call.
- *spawn worker*: seen from a process of `corewise.executor("spawn", workers=2)`.
- *spawned child*: a process that knows nothing of corewise, started with `corewise.child_env(workers=2)`.

"""


def measured(name):
    """Return asked and live number by place."""
    load, share = LIBRARIES[name] + "\n", 3 if name in ONCE else 1
    early = INIT + load if name == "polars" else load + INIT
    main, inside, under = fresh(early + "main = live()\n" + POOLS, warnings="ignore")
    late = fresh(INIT + load + "report(live())")
    worker = fresh(INIT + f"load = {load!r}\n" + WORKER)
    child = fresh(
        INIT
        + "import subprocess\n"
        + f"code = 'import os, sys\\n' + {load!r} + 'print(live())'\n"
        + "env = corewise.child_env(workers=2)\n"
        + "report(int(subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, check=True).stdout))"
    )
    whole = 3 if name in ONCE else 2
    under = (3 if name in ONCE else 1, under)
    places = [(whole, main), (share, inside), under, (whole, late), (share, worker), (share, child)]
    return dict(zip(PLACES, places, strict=True))


def missing():
    """Return the distributions that are not here."""
    needed = ("lenskit", "mkl", "polars", "tokenizers", "torch")
    return [name for name in needed if not list(importlib.metadata.distributions(name=name))]


@pytest.mark.timeout(400)  # some twenty processes, each importing a large library
@pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}; see CONTRIBUTING.md")
def test_every_library_has_what_was_asked_in_every_place_and_the_page_says_so():
    table = {name: measured(name) for name in LIBRARIES}
    rows = [
        f"| {name} | " + " | ".join(f"{asked} / {live}" for asked, live in table[name].values()) + " |"
        for name in table
    ]
    heads = ["| library | " + " | ".join(PLACES) + " |", "|---" * (len(PLACES) + 1) + "|"]
    text = HEAD + "\n".join([*heads, *rows]) + "\n"
    if os.environ.get("WRITE_PAGE"):
        PAGE.write_text(text)
    wrong = {name: cells for name, cells in table.items() if any(asked != live for asked, live in cells.values())}
    assert not wrong
    assert PAGE.read_text() == text, f"{PAGE.relative_to(ROOT)} is not up to date; run: {COMMAND}"
