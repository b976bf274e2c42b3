"""Sizes of the real pools of polars, tokenizers and LensKit, each test in a process of its own."""

import importlib.util

import pytest
from fresh_process import fresh


def needs(module, mend="uv sync --group backends"):
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed: {mend}")


needs_polars = needs("polars")
needs_tokenizers = needs("tokenizers")
needs_lenskit = needs("lenskit", "see CONTRIBUTING.md")

TOKENIZE = """
def tokenize():
    from tokenizers import Tokenizer, models, pre_tokenizers
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    before = len(os.listdir("/proc/self/task"))
    tokenizer.encode_batch(["a b a"] * 100)
    return len(os.listdir("/proc/self/task")) - before

def settled(name, expected):
    # Threads that have just worked are running still for a moment, and Linux does not say whose they are.
    import time
    end = time.monotonic() + 20
    while (found := outcome(name))[2] != expected and time.monotonic() < end:
        time.sleep(0.01)
    return found
"""


@needs_polars
def test_polars_that_is_imported_later_has_num_threads():
    found = fresh("""
        corewise.ensure_parallel_init(num_cpus=8, num_threads=3)
        before = outcome("polars")
        import polars
        report([before, polars.thread_pool_size(), outcome("polars")])
    """)
    assert found == [["not loaded yet", 3, None], 3, ["applied", 3, 3]]


@needs_polars
def test_a_pool_of_polars_that_was_built_before_is_reported_with_its_size():
    found = fresh(
        """
        os.environ["POLARS_MAX_THREADS"] = "5"
        import polars
        del os.environ["POLARS_MAX_THREADS"]
        corewise.ensure_parallel_init(num_threads=3)
        report(outcome("polars"))
        """,
        warnings="ignore",
    )
    assert found == ["too late", 3, 5]


@needs_polars
def test_a_size_that_the_user_chose_for_polars_is_left_alone():
    found = fresh(
        "corewise.ensure_parallel_init(num_threads=3); import polars; report(outcome('polars'))",
        variables={"POLARS_MAX_THREADS": "2"},
    )
    assert found == ["left alone", None, 2]


@needs_tokenizers
def test_tokenizers_that_are_imported_later_have_num_threads():
    found = fresh(
        TOKENIZE + "corewise.ensure_parallel_init(num_cpus=8, num_threads=3); report([tokenize(),"
        "settled('tokenizers', 3)])"
    )
    assert found == [3, ["applied", 3, 3]]


@needs_tokenizers
def test_a_pool_of_tokenizers_that_was_built_before_is_reported_with_its_size():
    found = fresh(
        TOKENIZE
        + """
os.environ["RAYON_NUM_THREADS"] = "5"
built = tokenize()
del os.environ["RAYON_NUM_THREADS"]
settled("tokenizers", 5)
corewise.ensure_parallel_init()
report([built, settled("tokenizers", 5)])
""",
        warnings="ignore",
        variables={"COREWISE_NUM_THREADS": "3"},
    )
    assert found == [5, ["too late", 3, 5]]


@needs_lenskit
def test_the_pool_of_lenskit_has_num_threads_before_its_first_use():
    found = fresh("""
        corewise.ensure_parallel_init(num_cpus=8, num_threads=3)
        before = outcome("lenskit")
        import lenskit._accel as accel
        report([before, accel.thread_count(), outcome("lenskit")])
    """)
    assert found == [["not loaded yet", 3, None], 3, ["applied", 3, 3]]


@needs_lenskit
def test_the_pool_of_lenskit_that_is_loaded_and_not_used_has_num_threads():
    found = fresh("""
        import lenskit._accel as accel
        corewise.ensure_parallel_init(num_cpus=8, num_threads=3)
        report([accel.thread_count(), outcome("lenskit")])
    """)
    assert found == [3, ["applied", 3, 3]]


@needs_lenskit
def test_a_pool_of_lenskit_that_was_built_before_is_reported_with_its_size():
    found = fresh(
        """
        import lenskit._accel as accel
        accel.init_accel_pool(5)
        corewise.ensure_parallel_init(num_cpus=8, num_threads=3)
        report([accel.thread_count(), outcome("lenskit")])
        """,
        warnings="ignore",
    )
    assert found == [5, ["too late", 3, 5]]


@needs_lenskit
def test_lenskit_gets_num_threads_also_where_backends_are_left_alone_and_nothing_is_exported():
    found = fresh("""
        corewise.ensure_parallel_init(num_cpus=8, num_threads=3, num_backend_threads=-1)
        import lenskit._accel as accel
        report([accel.thread_count(), outcome("rayon")[0], "RAYON_NUM_THREADS" in os.environ])
    """)
    assert found == [3, "left alone", False]


def test_a_child_is_sized_before_it_starts():
    found = fresh("""
        corewise.ensure_parallel_init(num_cpus=8, num_threads=2)
        env = corewise.child_env(workers=8)
        report([env["RAYON_NUM_THREADS"], env["POLARS_MAX_THREADS"], os.environ["RAYON_NUM_THREADS"]])
    """)
    assert found == ["1", "1", "2"]


def test_reset_removes_the_variables():
    assert fresh("""
        corewise.ensure_parallel_init()
        corewise.reset()
        report(["RAYON_NUM_THREADS" in os.environ, "POLARS_MAX_THREADS" in os.environ])
    """) == [False, False]


def test_another_plugin_names_the_functions_of_its_extension_by_a_hook(tmp_path):
    (tmp_path / "native_example.py").write_text(
        "size = 0\n"
        "def build(threads):\n    global size\n    assert not size\n    size = threads\n"
        "def count():\n    return size\n"
    )
    (tmp_path / "example_plugin.py").write_text(
        "import corewise\n"
        "@corewise.hookimpl(optionalhook=True)\n"
        "def corewise_rayon_pools():\n"
        "    from corewise_rayon import RayonPool\n"
        "    return [RayonPool(name='example', module='native_example', init='build', count='count')]\n"
    )
    (tmp_path / "example-1.0.dist-info").mkdir()
    (tmp_path / "example-1.0.dist-info" / "METADATA").write_text("Name: example\nVersion: 1.0\n")
    (tmp_path / "example-1.0.dist-info" / "entry_points.txt").write_text("[corewise]\nexample = example_plugin\n")
    found = fresh(
        "corewise.ensure_parallel_init(num_cpus=8, num_threads=3); before = outcome('example')\n"
        "import native_example\n"
        "report([before, native_example.size, outcome('example')])",
        variables={"PYTHONPATH": str(tmp_path)},
    )
    assert found == [["not loaded yet", 3, None], 3, ["applied", 3, 3]]
