import os
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from corewise.settings.app import App
from corewise.settings.arguments import calling_line
from corewise.settings.model import LARGEST_COUNT, BackendSettings, Origin
from corewise.settings.raw import Layer, RawSettings, RawValue
from corewise.settings.sources import read
from corewise.settings.structure import structure

LENSKIT = App("lenskit", env_prefix="LK_")


@pytest.fixture
def place(tmp_path):
    """A project with a sub-directory, and a home."""
    (tmp_path / "project/sub").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "project/.git").mkdir()
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def values(place, directory="project", app=None, environ=None, **overrides):
    given = {"HOME": str(place / "home")} | (environ or {})
    raw = read(app=app or App("corewise"), overrides=overrides, environ=given, directory=place / directory)
    assert raw.problems == ()
    return {".".join(path): (value.value, str(value.origin)) for path, value in raw.merged().items()}


def problems(place, environ=None):
    given = {"HOME": str(place / "home")} | (environ or {})
    return read(environ=given, directory=place / "project").problems


SOURCES = [
    ("project/corewise.local.toml", "[parallel]\nnum_threads = 3", (3, "corewise.local.toml line 2")),
    ("project/corewise.toml", "[parallel]\nnum_threads = 4", (4, "corewise.toml line 2")),
    ("project/pyproject.toml", "[tool.corewise.parallel]\nnum_threads = 5", (5, "pyproject.toml line 2")),
    ("home/.config/corewise/corewise.toml", "[parallel]\nnum_threads = 6", (6, "{home} line 2")),
]


@pytest.mark.parametrize("strongest", range(len(SOURCES) + 2))
def test_the_stronger_source_wins(place, strongest):
    environ, overrides = {"COREWISE_NUM_THREADS": "2"}, {"num_threads": 1}
    expected = [(1, "argument num_threads"), ("2", "env COREWISE_NUM_THREADS")] + [source[2] for source in SOURCES]
    for path, text, _ in SOURCES[max(strongest - 2, 0) :]:
        write(place / path, text)
    found = values(place, environ=environ if strongest <= 1 else None, **(overrides if strongest == 0 else {}))[
        "num_threads"
    ]
    home = str(place / "home/.config/corewise/corewise.toml")
    assert found == (expected[strongest][0], expected[strongest][1].replace("{home}", home))


def test_sources_are_merged_key_by_key(place):
    write(
        place / "project/corewise.toml",
        "[parallel]\nnum_cpus = 8\nbackends.torch.threads = 1\nbackends.torch.enabled = true",
    )
    write(place / "project/corewise.local.toml", "[parallel.backends.torch]\nthreads = 3")
    found = values(place, environ={"COREWISE_NUM_BATCH_JOBS": "4"}, backends={"torch": {"enabled": False}})
    assert found == {
        "backends.torch.enabled": (False, "argument backends"),
        "num_batch_jobs": ("4", "env COREWISE_NUM_BATCH_JOBS"),
        "backends.torch.threads": (3, "corewise.local.toml line 2"),
        "num_cpus": (8, "corewise.toml line 2"),
    }


def test_files_are_searched_upwards_and_the_nearest_of_one_name_wins(place):
    write(place / "project/corewise.toml", "[parallel]\nnum_cpus = 8\nnum_threads = 2")
    write(place / "project/sub/corewise.toml", "[parallel]\nnum_threads = 3")
    found = values(place, "project/sub")
    assert found["num_threads"] == (3, "corewise.toml line 2")
    assert found["num_cpus"] == (8, f"{place}/project/corewise.toml line 2")


def test_the_name_of_a_file_counts_more_than_its_nearness(place):
    write(place / "project/corewise.local.toml", "[parallel]\nnum_threads = 2")
    write(place / "project/sub/corewise.toml", "[parallel]\nnum_threads = 3")
    assert values(place, "project/sub")["num_threads"][0] == 2


@pytest.mark.parametrize("mark", [".git", "pyproject.toml"])
def test_the_search_ends_after_the_first_directory_with_a_mark(place, mark):
    write(place / f"project/sub/{mark}", "")
    write(place / "project/sub/corewise.toml", "[parallel]\nnum_threads = 3")
    write(place / "project/corewise.toml", "[parallel]\nnum_cpus = 8")
    assert values(place, "project/sub").keys() == {"num_threads"}


def test_all_else_in_a_file_is_left_alone(place):
    write(place / "project/corewise.toml", "num_threads = 'x'\n[other]\nexecutor = 1\n[parallel]\nnum_cpus = 2")
    write(place / "project/pyproject.toml", "[tool.other.parallel]\nx = 1\n[tool]\ncorewise = 3")
    assert values(place) == {"num_cpus": (2, "corewise.toml line 5")}


def test_lines_are_those_of_the_file_whatever_its_line_ends(place):
    (place / "project/corewise.toml").write_bytes(
        b"\xef\xbb\xbf# c\r\n\r\n[parallel]\r\nplugins.disable = [\r\n'a',\r\n]\r\n"
    )
    assert values(place)["plugins.disable"] == (["a"], "corewise.toml line 4")


def test_toml_1_1_is_read_on_every_python(place):
    write(place / "project/corewise.toml", "parallel = {\n  num_cpus = 2,\n  num_threads = 3,\n}")
    assert values(place)["num_threads"] == (3, "corewise.toml line 3")


def test_the_users_configuration_directory_is_the_one_xdg_names(place):
    write(place / "xdg/corewise/corewise.toml", "[parallel]\nnum_cpus = 3")
    assert values(place, environ={"XDG_CONFIG_HOME": str(place / "xdg")})["num_cpus"][0] == 3
    assert values(place, environ={"XDG_CONFIG_HOME": "xdg"}) == {}


def test_config_file_names_the_only_file(place):
    for path, text, _ in SOURCES:
        write(place / path, text)
    write(place / "project/mine.toml", "[parallel]\nnum_cpus = 7")
    assert values(place, environ={"COREWISE_CONFIG_FILE": "mine.toml"}) == {"num_cpus": (7, "mine.toml line 2")}


def test_config_file_may_name_a_pyproject(place):
    write(place / "other/pyproject.toml", "[tool.corewise.parallel]\nnum_cpus = 7")
    found = values(place, environ={"COREWISE_CONFIG_FILE": str(place / "other/pyproject.toml")})
    assert found["num_cpus"][0] == 7


def test_a_config_file_that_does_not_exist_is_a_problem(place):
    assert problems(place, {"COREWISE_CONFIG_FILE": "no.toml"}) == (
        "env COREWISE_CONFIG_FILE: names a file that does not exist, got 'no.toml'",
    )
    assert problems(place, {"COREWISE_CONFIG_FILE": "sub"}) == (
        "env COREWISE_CONFIG_FILE: does not name a file, got 'sub'",
    )
    assert "got '~nobody-of-this-name/x'" in problems(place, {"COREWISE_CONFIG_FILE": "~nobody-of-this-name/x"})[0]


def test_no_config_ignores_all_files_and_nothing_else(place):
    for path, text, _ in SOURCES:
        write(place / path, text)
    environ = {"COREWISE_NO_CONFIG": "1", "COREWISE_CONFIG_FILE": "no.toml", "COREWISE_NUM_CPUS": "2"}
    assert values(place, environ=environ).keys() == {"num_cpus"}
    assert "num_threads" in values(place, environ={"COREWISE_NO_CONFIG": "0"})


def test_a_word_that_is_neither_yes_nor_no_is_a_problem(place):
    assert problems(place, {"COREWISE_NO_CONFIG": "perhaps"}) == (
        "env COREWISE_NO_CONFIG: must be yes or no, got 'perhaps'",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a = 1\n[parallel]\nx = \n", "corewise.toml line 3: is not valid TOML: "),
        (b"a = '\xff'", "corewise.toml: is not UTF-8 text: invalid start byte at byte 5"),
        (b"\n\nparallel = 3", "corewise.toml line 3: parallel: must be a table, got 3"),
        (b"[[parallel]]\nnum_cpus = 1", "corewise.toml line 1: parallel: must be a table, got [{'num_cpus': 1}]"),
        (b"a = " + b"[" * 100_000, "corewise.toml"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_problem_with_its_line(place, text, expected):
    (place / "project/corewise.toml").write_bytes(text)
    (problem,) = problems(place)
    assert problem.startswith(expected)


def test_a_file_that_cannot_be_read_is_a_problem(place):
    (place / "project/corewise.toml").symlink_to("/proc/self/mem")  # root may open any file, and read no byte of this
    (problem,) = problems(place)
    assert problem == "corewise.toml: cannot be read: Input/output error"


def test_an_empty_variable_says_nothing(place):
    assert values(place, environ={"COREWISE_NUM_CPUS": "", "COREWISE_EXECUTOR": " "}) == {}


def test_two_spellings_of_one_variable_that_differ_are_a_problem_that_names_both(place):
    spellings = {"COREWISE_num_threads": "2", "COREWISE_NUM_THREADS": "4"}
    (problem,) = problems(place, environ=spellings)
    source, key, wrong = problem.split(": ")
    assert (source, key) == ("env COREWISE_NUM_THREADS and env COREWISE_num_threads", "num_threads")
    assert wrong == "are spellings of one variable, and differ, got ['4', '2']"


def test_two_spellings_of_one_variable_that_agree_are_one(place):
    found = values(
        place, environ={"COREWISE_num_threads": "4", "COREWISE_NUM_THREADS": "4 ", "COREWISE_Num_Threads": ""}
    )
    assert found == {"num_threads": ("4 ", "env COREWISE_NUM_THREADS")}


def test_an_argument_that_is_none_says_nothing(place):
    assert values(place, num_cpus=None) == {}


def test_nested_variables_go_one_table_deeper(place):
    found = values(place, environ={"COREWISE_BACKENDS__TORCH__THREADS": "2", "COREWISE_PLUGINS__DISABLE": "a,b"})
    assert found == {
        "backends.torch.threads": ("2", "env COREWISE_BACKENDS__TORCH__THREADS"),
        "plugins.disable": ("a,b", "env COREWISE_PLUGINS__DISABLE"),
    }


def test_an_instance_of_a_settings_class_is_taken_apart_into_its_keys(place):
    found = values(place, backends={"torch": BackendSettings(threads=2)})
    assert {key: value for key, (value, _) in found.items()} == {
        "backends.torch.enabled": True,
        "backends.torch.threads": 2,
    }


def test_another_application_makes_its_own_names_the_source(place):
    write(place / "project/lenskit.toml", "[parallel]\nnum_cpus = 1\nnum_threads = 1\n[data]\nx = 1")
    write(place / "project/lenskit.local.toml", "[parallel]\nnum_threads = 2")
    write(
        place / "project/pyproject.toml",
        "[tool.lenskit.parallel]\nnum_backend_threads = 3\n[tool.corewise.parallel]\nx = 1",
    )
    write(place / "home/.config/lenskit/lenskit.toml", "[parallel]\nuse_ray = true")
    write(place / "project/corewise.toml", "[parallel]\nnum_cpus = 100")
    environ = {"LK_NUM_BATCH_JOBS": "4", "COREWISE_NUM_CPUS": "50"}
    found = values(place, app=LENSKIT, environ=environ)
    assert {key: value for key, (value, _) in found.items()} == {
        "num_cpus": 1,
        "num_threads": 2,
        "num_backend_threads": 3,
        "num_batch_jobs": "4",
        "use_ray": True,
    }
    assert values(place, app=LENSKIT, environ={"LK_NO_CONFIG": "yes"}) == {}


def test_the_other_variables_of_an_application_are_its_own(place):
    assert values(place, app=LENSKIT, environ={"LK_DATA_DIR": "/data"}) == {}


def test_an_application_has_the_prefix_of_its_name():
    assert App("lens-kit.x").env_prefix == "LENS_KIT_X_"
    assert App("corewise") == App("corewise", env_prefix="COREWISE_")


@pytest.mark.parametrize("prefix", ["LK", "lk_", "_", "LK__", ""])
def test_a_prefix_that_would_blur_tables_is_refused(prefix):
    with pytest.raises(ValueError, match="must be capitals that end in one underscore"):
        App("lenskit", env_prefix=prefix)


def test_the_calling_line_is_the_users(place):
    here = sys._getframe().f_lineno + 1
    assert calling_line() == f"{__file__} line {here}"
    raw = read(overrides={"num_cpus": 1}, caller="run.py line 3", environ={}, directory=place)
    assert str(raw.merged()["num_cpus",].origin) == "argument num_cpus at run.py line 3"


def test_a_working_directory_that_was_deleted_is_no_error(tmp_path):
    program = (
        "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
        "from corewise.settings.sources import read\nprint(read(environ={}).problems)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / ""], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "()"


def test_nothing_is_read_at_import(tmp_path):
    write(tmp_path / "corewise.toml", "this is no TOML")
    program = (
        "import os, pathlib, sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "class Watched(dict):\n"
        "    def _note(self, *key): raise AssertionError(f'the environment was read: {key}')\n"
        "    __getitem__ = get = __contains__ = __iter__ = keys = items = _note\n"
        "os.environ = Watched()\n"
        "import corewise.cpus, corewise.executors.choose\n"
        "import corewise.settings.describe, corewise.settings.resolve, corewise.settings.sources\n"
        "import corewise.settings.structure\n"
        "code = ('.py', '.pyc', '.so')\n"
        "print([path for path in opened if not path.endswith(code) and '__pycache__' not in path])\n"
        "heavy = {'cattrs', 'tomli', 'numpy', 'rich', 'cyclopts', 'threadpoolctl', 'difflib'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    environ = {**os.environ, "COREWISE_NUM_CPUS": "nonsense", "COREWISE_NO_SUCH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environ, check=False, capture_output=True, text=True
    )
    assert done.stdout == "[]\n[]\n", done.stderr


def test_plain_values_are_judged_without_importing_cattrs():
    program = (
        "import sys\n"
        "from corewise.settings.sources import read\nfrom corewise.settings.structure import structure\n"
        "raw = read(environ={'COREWISE_NUM_CPUS': '2', 'COREWISE_NO_CONFIG': '1'}, overrides={'use_ray': True})\n"
        "print(structure(raw, backends={}, executors={})[0].num_cpus, 'cattrs' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "2 False\n"


ANY_PATH = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)
ANY_LAYER = st.dictionaries(ANY_PATH, st.integers(), max_size=5)


@given(st.lists(ANY_LAYER, max_size=4))
def test_merging_keeps_the_strongest_value_of_each_key(layers):
    raw = RawSettings(
        tuple(
            Layer({path: RawValue(value, Origin("file", str(number))) for path, value in layer.items()})
            for number, layer in enumerate(layers)
        )
    )
    merged = raw.merged()
    for path, value in merged.items():
        number = int(value.origin.detail)
        assert layers[number][path] == value.value
        assert not any(path in layer for layer in layers[:number])
    for layer in layers:
        for path in layer:
            assert path in merged or any(path[: len(other)] == other or other[: len(path)] == path for other in merged)


NUMBERS = st.dictionaries(
    st.sampled_from(["num_cpus", "num_threads", "num_batch_jobs"]), st.integers(max_value=LARGEST_COUNT)
)


@given(st.lists(NUMBERS, max_size=4))
def test_merging_flat_layers_is_what_a_chain_of_dictionaries_gives(layers):
    raw = RawSettings(
        tuple(Layer({(key,): RawValue(value, Origin("file")) for key, value in layer.items()}) for layer in layers)
    )
    chained = {key: value for layer in reversed(layers) for key, value in layer.items()}
    asked, origins = structure(raw, backends={}, executors={})
    assert {key: getattr(asked, key) for key in chained} == chained
    assert origins.keys() == chained.keys()


def test_a_value_and_a_table_of_one_key_do_not_mix(place):
    write(place / "project/corewise.toml", "[parallel.backends.torch]\nthreads = 3")
    assert values(place, backends={"torch": 1}) == {"backends.torch": (1, "argument backends")}


def test_paths_are_shown_relative_to_where_the_search_began(place, monkeypatch):
    write(place / "project/corewise.toml", "[parallel]\nnum_cpus = 1")
    monkeypatch.chdir(place / "project")
    raw = read(environ={})
    assert str(raw.merged()["num_cpus",].origin) == "corewise.toml line 2"
    assert str(read(environ={}, directory=Path()).merged()["num_cpus",].origin) == "corewise.toml line 2"
