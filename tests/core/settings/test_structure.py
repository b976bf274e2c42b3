import enum
import pickle
from pathlib import Path
from typing import Literal

import attrs
import pytest

from corewise.builtin.spawn.settings import SpawnSettings
from corewise.errors import SettingsError
from corewise.settings.app import App
from corewise.settings.model import BackendSettings, ParallelSettings, PluginSettings
from corewise.settings.sources import read
from corewise.settings.structure import plugin_settings, structure, unused_tables


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    SLOW = "slow"
    FAST = "fast"


@attrs.frozen(kw_only=True)
class Pool:
    size: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    name: str = "pool"


@attrs.frozen(kw_only=True)
class Rich(BackendSettings):
    threads: int = 7
    level: Level = Level.LOW
    word: Word = Word.SLOW
    layer: Literal["omp", "tbb"] = "omp"
    ratio: float = 0.5
    sizes: list[int] = attrs.field(factory=list)
    pair: tuple[int, str] | None = None
    tags: frozenset[str] = frozenset()
    limits: dict[str, int] = attrs.field(factory=dict)
    pool: Pool = attrs.field(factory=lambda: Pool(size=9))
    pools: tuple[Pool, ...] = ()
    either: int | str = 0
    maybe: int | None = 5
    path: Path = Path("x")
    switch: bool = False


@attrs.frozen(kw_only=True)
class Strict:
    address: str
    low: int = 0
    high: int = 10

    def __attrs_post_init__(self):
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")


TABLES = {
    "backends": {"rich": Rich, "openblas": BackendSettings},
    "executors": {"spawn": Pool, "threads": Pool, "strict": Strict},
}


def gather(tmp_path, toml="", environ=None, app=None, **overrides):
    (tmp_path / f"{app.name if app else 'corewise'}.toml").write_text(toml)
    return read(app=app or App("corewise"), overrides=overrides, environ=environ or {}, directory=tmp_path)


def asked(tmp_path, toml="", environ=None, **overrides):
    return structure(gather(tmp_path, toml, environ, **overrides), **TABLES)[0]


def complaints(tmp_path, toml="", environ=None, app=None, **overrides):
    with pytest.raises(SettingsError) as caught:
        structure(gather(tmp_path, toml, environ, app, **overrides), **TABLES)
    return caught.value.problems


RICH_TOML = """
[parallel.backends.rich]
level = 2
word = "fast"
layer = "tbb"
ratio = 2
sizes = [1, 2]
pair = [3, "x"]
tags = ["a", "b"]
limits = {a = 1, b = 2}
pool.size = 2
pools = [{size = 1}, {name = "n"}]
either = "text"
path = "/data"
switch = true
"""
RICH_ENVIRON = {
    "LEVEL": "high",
    "WORD": "Fast",
    "LAYER": "TBB",
    "RATIO": "2",
    "SIZES": "1, 2",
    "PAIR": "3,x",
    "TAGS": "a,b",
    "LIMITS__A": "1",
    "LIMITS__B": "2",
    "POOL__SIZE": "2",
    "EITHER": "text",
    "PATH": "/data",
    "SWITCH": "yes",
}
RICH = Rich(
    level=Level.HIGH,
    word=Word.FAST,
    layer="tbb",
    ratio=2.0,
    sizes=[1, 2],
    pair=(3, "x"),
    tags=frozenset("ab"),
    limits={"a": 1, "b": 2},
    pool=Pool(size=2),
    either="text",
    path=Path("/data"),
    switch=True,
)


def test_a_plugins_table_becomes_an_instance_of_its_own_class(tmp_path):
    expected = attrs.evolve(RICH, pools=(Pool(size=1), Pool(name="n")))
    assert asked(tmp_path, RICH_TOML).backends["rich"] == expected


def test_the_same_can_be_said_by_variables(tmp_path):
    environ = {f"COREWISE_BACKENDS__RICH__{key}": text for key, text in RICH_ENVIRON.items()}
    assert asked(tmp_path, environ=environ).backends["rich"] == RICH


def test_the_same_can_be_said_by_arguments(tmp_path):
    assert asked(tmp_path, backends={"rich": RICH}).backends["rich"] == RICH


def test_settings_that_were_asked_survive_pickling(tmp_path):
    settings = asked(tmp_path, RICH_TOML)
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_every_registered_table_has_its_defaults_and_the_plugins_default_beats_cores(tmp_path):
    settings, origins = structure(gather(tmp_path), **TABLES)
    assert settings.backends == {"rich": Rich(), "openblas": BackendSettings()}
    assert settings.backends["rich"].threads == 7
    assert settings.executors == {"spawn": Pool(), "threads": Pool()}
    assert str(origins["backends.rich.threads"]) == "plugin default"
    assert "num_threads" not in origins


def test_a_nested_table_keeps_the_defaults_of_its_own_instance(tmp_path):
    table = asked(tmp_path, "[parallel.backends.rich.pool]\nname = 'mine'").backends["rich"]
    assert table.pool == Pool(size=9, name="mine")


def test_a_table_is_merged_from_all_sources_with_an_origin_for_each_key(tmp_path):
    raw = gather(
        tmp_path,
        "[parallel.backends.rich]\nratio = 0.25\nswitch = true",
        {"COREWISE_BACKENDS__RICH__SWITCH": "no"},
        backends={"rich": {"either": 3}},
    )
    settings, origins = structure(raw, **TABLES)
    assert settings.backends["rich"] == Rich(ratio=0.25, switch=False, either=3)
    shown = {key: str(origins[f"backends.rich.{key}"]) for key in ("ratio", "switch", "either", "level")}
    assert shown == {
        "ratio": "corewise.toml line 2",
        "switch": "env COREWISE_BACKENDS__RICH__SWITCH",
        "either": "argument backends",
        "level": "plugin default",
    }


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("NUM_CPUS", " 4 ", 4),
        ("NUM_CPUS", "-1", -1),
        ("NUM_CPUS", "0x10", 16),
        ("USE_RAY", "TRUE", True),
        ("USE_RAY", "on", True),
        ("USE_RAY", "1", True),
        ("USE_RAY", "No", False),
        ("USE_RAY", "off", False),
        ("EXECUTOR", "spawn", "spawn"),
        ("PLUGINS__DISABLE", "a, b,", PluginSettings(disable=("a", "b"))),
        ("PLUGINS__DISABLE", '["a", "b,c"]', PluginSettings(disable=("a", "b,c"))),
        ("PLUGINS__DISABLE", "*", PluginSettings(disable=("*",))),
        ("PLUGINS__STRICT", "y", PluginSettings(strict=True)),
    ],
)
def test_text_of_the_environment_converts_leniently(tmp_path, key, text, value):
    field = key.partition("__")[0].lower()
    assert getattr(asked(tmp_path, environ={f"COREWISE_{key}": text}), field) == value


def test_a_variable_can_say_that_there_is_none(tmp_path):
    assert asked(tmp_path, environ={"COREWISE_BACKENDS__RICH__MAYBE": "none"}).backends["rich"].maybe is None


def test_variables_find_names_whatever_their_capitals(tmp_path):
    raw = gather(tmp_path, environ={"COREWISE_BACKENDS__MKLROOT__THREADS": "3"})
    settings, _ = structure(raw, backends={"MklRoot": BackendSettings}, executors={})
    assert settings.backends["MklRoot"].threads == 3


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('num_threads = "4"', "num_threads: must be a whole number, got '4'"),
        ("num_threads = true", "num_threads: must be a whole number, got True"),
        ("num_threads = 4.0", "num_threads: must be a whole number, got 4.0"),
        ("use_ray = 1", "use_ray: must be true or false, got 1"),
        ('use_ray = "yes"', "use_ray: must be true or false, got 'yes'"),
        ("executor = 3", "executor: must be text, got 3"),
        ('plugins.disable = "a"', "plugins.disable: must be an array, got 'a'"),
        ("plugins = 3", "plugins: must be a table, got 3"),
        ("backends = 3", "backends: must be a table, got 3"),
        ("backends.rich = 3", "backends.rich: must be a table, got 3"),
        ("num_threads.x = 3", "num_threads: must be a whole number, not a table with the key 'x'"),
        ("num_threads = {}", "num_threads: must be a whole number, got {}"),
        ("num_thread = 3", "num_thread: is no setting; did you mean num_threads?"),
        (
            "backends.rich.treads = 3",
            "backends.rich.treads: is no setting; did you mean backends.rich.threads?",
        ),
        ("plugins.zzz = 3", "plugins.zzz: is no setting; allowed disable, strict"),
        (
            "backends.ritch.threads = 3",
            "backends.ritch: no backend of this name is installed; allowed openblas, rich; did you mean backends.rich?",
        ),
        (
            "backends.Rich.threads = 3",
            "backends.Rich: no backend of this name is installed; allowed openblas, rich; did you mean backends.rich?",
        ),
        (
            "executors.thread.size = 1",
            (
                "executors.thread: no executor of this name is installed; allowed spawn, strict, threads; "
                "did you mean executors.threads?"
            ),
        ),
        (
            "executor = 'spwan'",
            (
                "executor: no executor of this name is installed, got 'spwan'; "
                "allowed auto, ray, spawn, strict, threads; did you mean spawn?"
            ),
        ),
        (
            "executor = 'torch'",
            "executor: no executor of this name is installed, got 'torch'; allowed auto, ray, spawn, strict, threads",
        ),
        ("backends.rich.level = 3", "backends.rich.level: is not among the allowed values, got 3; allowed 1, 2"),
        ("backends.rich.level = true", "backends.rich.level: is not among the allowed values, got True; allowed 1, 2"),
        (
            "backends.rich.layer = 'gnu'",
            "backends.rich.layer: is not among the allowed values, got 'gnu'; allowed 'omp', 'tbb'",
        ),
        ("backends.rich.either = 1.5", "backends.rich.either: must be a whole number or text, got 1.5"),
        ("backends.rich.pair = [1]", "backends.rich.pair: must have 2 elements, got [1]"),
        ("backends.rich.ratio = '1'", "backends.rich.ratio: must be a number, got '1'"),
        ("backends.rich.path = 1", "backends.rich.path: must be a path, got 1"),
        ("backends.rich.limits.a = '1'", "backends.rich.limits.a: must be a whole number, got '1'"),
        ("backends.rich.pool.size = 0", "backends.rich.pool.size: 'size' must be >= 1: 0"),
    ],
)
def test_toml_is_taken_strictly_and_each_problem_is_one_line(tmp_path, toml, expected):
    assert complaints(tmp_path, f"[parallel]\n{toml}") == (f"corewise.toml line 2: {expected}",)


def test_a_union_of_none_and_an_array_complains_of_the_array(tmp_path):
    (line,) = complaints(tmp_path, "[parallel]\nbackends.rich.pair = 3")
    assert line == "corewise.toml line 2: backends.rich.pair: must be an array, got 3"


def test_each_element_of_an_array_is_judged_on_its_own_line(tmp_path):
    lines = complaints(tmp_path, "[parallel.backends.rich]\nsizes = [\n  1,\n  '2',\n  3.5,\n]")
    assert lines == (
        "corewise.toml line 4: backends.rich.sizes[1]: must be a whole number, got '2'",
        "corewise.toml line 5: backends.rich.sizes[2]: must be a whole number, got 3.5",
    )


def test_a_table_inside_an_array_is_judged_key_by_key(tmp_path):
    lines = complaints(
        tmp_path, "[[parallel.backends.rich.pools]]\nsize = 'x'\nname = 3\n[[parallel.backends.rich.pools]]\nzize = 1"
    )
    assert lines == (
        "corewise.toml line 1: backends.rich.pools[0].size: must be a whole number, got 'x'",
        "corewise.toml line 1: backends.rich.pools[0].name: must be text, got 3",
        "corewise.toml line 4: backends.rich.pools[1].zize: is no key of this table, got 1",
    )


def test_a_required_key_of_a_table_inside_an_array_is_named(tmp_path):
    @attrs.frozen(kw_only=True)
    class Owner:
        many: tuple[Strict, ...] = ()

    raw = gather(tmp_path, "[[parallel.executors.owner.many]]\nlow = 1")
    with pytest.raises(SettingsError) as caught:
        structure(raw, backends={}, executors={"owner": Owner})
    assert caught.value.problems == ("corewise.toml line 1: executors.owner.many[0].address: is required",)


def test_every_problem_of_every_source_is_told_at_once(tmp_path):
    (tmp_path / "corewise.local.toml").write_text("[parallel]\nnum_cpus = 1.5\nfoo = 1")
    lines = complaints(
        tmp_path,
        "[parallel]\nnum_cpus = 'x'\nexecutor = 'spwan'",
        {"COREWISE_NUM_CPUS": "many", "COREWISE_NUM_THREDS": "2", "COREWISE_USE_RAY": "perhaps"},
        num_cpus="4",
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "argument num_cpus",
        "env COREWISE_NUM_CPUS",
        "env COREWISE_NUM_THREDS",
        "env COREWISE_USE_RAY",
        "corewise.local.toml line 2",
        "corewise.local.toml line 3",
        "corewise.toml line 2",
        "corewise.toml line 3",
    ]


def test_an_unknown_table_is_told_once_per_source(tmp_path):
    assert len(complaints(tmp_path, "[parallel.backends.ritch]\nx = 1\ny = 2\n[parallel.backends.ritch.z]\na = 1")) == 1


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("COREWISE_NUM_THREAD", "COREWISE_NUM_THREADS"),
        ("COREWISE_NO_CONFIGS", "COREWISE_NO_CONFIG"),
        ("COREWISE_BACKENDS__RITCH__THREADS", "COREWISE_BACKENDS__RICH"),
        ("COREWISE_BACKENDS__RICH__THREAD", "COREWISE_BACKENDS__RICH__THREADS"),
    ],
)
def test_an_unknown_variable_is_a_problem_and_the_guess_is_a_variable(tmp_path, variable, meant):
    (line,) = complaints(tmp_path, environ={variable: "1"})
    assert line.startswith(f"env {variable}: ")
    assert line.endswith(f"did you mean {meant}?")


def test_guesses_use_the_names_of_the_application(tmp_path):
    app = App("lenskit", env_prefix="LK_")
    (line,) = complaints(tmp_path, environ={"LK_BACKENDS__RICH__THREAD": "1"}, app=app)
    assert line.endswith("did you mean LK_BACKENDS__RICH__THREADS?")


@pytest.mark.parametrize(
    ("key", "name", "install"), [("executors", "ray", '"corewise-ray[ray]"'), ("backends", "torch", "corewise-torch")]
)
def test_a_table_of_this_projects_own_plugin_that_is_not_installed_is_noted_and_no_error(tmp_path, key, name, install):
    raw = gather(tmp_path, f"[parallel.{key}.{name}]\nx = 1\ny = 2")
    settings, _ = structure(raw, **TABLES)
    assert name not in settings.backends
    assert unused_tables(raw, backends={"rich"}, executors={"spawn"}) == (
        f"corewise.toml line 2: {key}.{name}: is not used: no active plugin reads it; pip install {install}",
    )


def test_tables_that_are_read_are_not_noted(tmp_path):
    raw = gather(tmp_path, RICH_TOML, {"COREWISE_EXECUTORS__SPAWN__SIZE": "2"})
    assert unused_tables(raw, backends={"rich"}, executors={"spawn"}) == ()


def test_the_table_and_the_name_of_a_disabled_plugin_are_no_error(tmp_path):
    toml = "[parallel]\nplugins.disable = ['mine']\nexecutor = 'mine'\nbackends.mine.x = 1\nexecutors.mine.y = 2"
    settings = asked(tmp_path, toml)
    assert settings.executor == "mine"
    assert "mine" not in settings.backends
    assert asked(tmp_path, "[parallel]\nplugins.disable = ['*']\nbackends.y.z = 1").executor == "auto"


def test_the_table_and_the_name_of_a_broken_plugin_are_no_error(tmp_path):
    raw = gather(tmp_path, "[parallel]\nexecutor = 'hurt'\nexecutors.hurt.y = 2\nbackends.hurt.x = 1")
    settings, _ = structure(raw, **TABLES, known_backends=["hurt"], known_executors=["hurt"])
    assert settings.executor == "hurt"


def test_an_executor_of_this_project_that_is_not_installed_can_be_asked_for(tmp_path):
    assert asked(tmp_path, "[parallel]\nexecutor = 'ray'").executor == "ray"


def test_use_ray_beside_another_executor_in_one_source_names_both(tmp_path):
    (line,) = complaints(tmp_path, "", {"COREWISE_EXECUTOR": "spawn", "COREWISE_USE_RAY": "1"})
    assert line == "env COREWISE_USE_RAY: use_ray: contradicts executor = 'spawn' from env COREWISE_EXECUTOR"


def test_an_executor_that_a_stronger_source_names_goes_before_use_ray(tmp_path):
    settings, origins = structure(
        gather(tmp_path, "[parallel]\nuse_ray = true", {"COREWISE_EXECUTOR": "spawn"}), **TABLES
    )
    assert (settings.executor, settings.use_ray) == ("spawn", False)
    assert str(origins["executor"]) == "env COREWISE_EXECUTOR"
    assert str(origins["use_ray"]) == "env COREWISE_EXECUTOR (stronger than use_ray = true from corewise.toml line 2)"


def test_use_ray_of_a_stronger_source_goes_before_another_executor(tmp_path):
    settings, origins = structure(
        gather(tmp_path, "[parallel]\nexecutor = 'spawn'", {"COREWISE_USE_RAY": "1"}), **TABLES
    )
    assert (settings.executor, settings.use_ray) == ("ray", True)
    assert str(origins["use_ray"]) == "env COREWISE_USE_RAY"
    assert (
        str(origins["executor"]) == "env COREWISE_USE_RAY (stronger than executor = 'spawn' from corewise.toml line 2)"
    )


def test_use_ray_that_a_stronger_source_denies_takes_back_the_executor_ray(tmp_path):
    toml = "[parallel]\nexecutor = 'ray'"
    assert asked(tmp_path, toml, {"COREWISE_USE_RAY": "no"}).executor == "auto"
    assert asked(tmp_path, toml + "\nuse_ray = true", {"COREWISE_USE_RAY": "no"}).executor == "auto"


@pytest.mark.parametrize("stronger", ["auto", "ray"])
def test_use_ray_holds_beside_what_does_not_contradict_it(tmp_path, stronger):
    settings = asked(tmp_path, "[parallel]\nuse_ray = true", {"COREWISE_EXECUTOR": stronger})
    assert (settings.executor, settings.use_ray) == (stronger, True)


def test_use_ray_that_a_stronger_source_takes_back_contradicts_nothing(tmp_path):
    assert asked(tmp_path, "[parallel]\nexecutor = 'spawn'\nuse_ray = true", use_ray=False).use_ray is False


def test_a_required_key_is_required_only_of_those_who_use_the_table(tmp_path):
    assert "strict" not in asked(tmp_path).executors
    assert asked(tmp_path, "[parallel.executors.strict]\naddress = 'a'").executors["strict"] == Strict(address="a")
    (line,) = complaints(tmp_path, "[parallel.executors.strict]\nlow = 1")
    assert line.startswith("corewise.toml line 2: executors.strict: ")
    assert "'address'" in line


def test_a_class_that_refuses_values_as_a_whole_names_all_their_sources(tmp_path):
    (line,) = complaints(
        tmp_path, "[parallel.executors.strict]\naddress = 'a'\nlow = 20", {"COREWISE_EXECUTORS__STRICT__HIGH": "5"}
    )
    sources = "env COREWISE_EXECUTORS__STRICT__HIGH, corewise.toml line 2, corewise.toml line 3"
    assert line == f"{sources}: executors.strict: low 20 is above high 5"


def test_an_empty_table_changes_nothing(tmp_path):
    toml = "[parallel]\nbackends = {}\n[parallel.plugins]\n[parallel.executors.spawn]\n[parallel.backends2]"
    (line,) = complaints(tmp_path, toml)
    assert line == "corewise.toml line 5: backends2: is no setting; did you mean backends?"
    assert asked(tmp_path, toml.replace("[parallel.backends2]", "")) == asked(tmp_path)


def test_a_settings_class_that_cannot_be_read_is_the_problem_of_its_table_alone(tmp_path):
    @attrs.frozen(kw_only=True)
    class Unreadable:
        x: "NoSuchType" = 0  # noqa: F821 - a plugin that imports its types for checkers only

    raw = gather(tmp_path, "[parallel.backends.rich]\nratio = 1\n[parallel.executors.odd]\nx = 1")
    with pytest.raises(SettingsError) as caught:
        structure(raw, backends={"rich": Rich}, executors={"odd": Unreadable})
    (line,) = caught.value.problems
    assert line.startswith("corewise.toml line 4: executors.odd.x: the settings class ")
    settings, _ = structure(gather(tmp_path), backends={}, executors={"odd": Unreadable})
    assert settings.executors["odd"].x == 0


def test_plugins_are_settled_before_tables_can_be_judged(tmp_path):
    raw = gather(tmp_path, "[parallel]\nplugins.disable = ['a']\nbackends.nobody.x = 1\nnum_cpus = 'x'")
    assert plugin_settings(raw) == PluginSettings(disable=("a",))


@pytest.mark.parametrize(
    "toml",
    [
        "[parallel]\nplugins.disable = 3",
        "[parallel]\nplugins.disabled = ['a']",
        "[parallel]\nplugins = ['a']",
        "[parallel]\nplugins.disable =",
        "parallel = 1",
    ],
)
def test_where_nobody_knows_what_is_disabled_nothing_but_what_is_built_in_may_be_loaded(tmp_path, toml):
    assert plugin_settings(gather(tmp_path, toml)).disable == ("*",)
    stronger = gather(tmp_path, toml, {"COREWISE_PLUGINS__DISABLE": "a,b"})
    assert plugin_settings(stronger).disable == ("a", "b")
    assert all(line.startswith("corewise.toml line ") for line in complaints(tmp_path, toml))


def test_where_nobody_knows_what_is_disabled_all_is_told_that_needs_no_stranger(tmp_path):
    lines = complaints(
        tmp_path,
        "[parallel]\nplugins.disable = 3\nbackends.theirs.x = 1\nexecutor = 'theirs'\nnum_cpus = 'x'",
        {"COREWISE_BACKENDS__RICH__THREADS": "y"},
    )
    assert [line.split(": ")[1] for line in lines] == ["backends.rich.threads", "plugins.disable", "num_cpus"]


def test_a_file_that_cannot_be_parsed_hides_no_other_mistake(tmp_path):
    lines = complaints(
        tmp_path, "[parallel]\nnum_cpus =", {"COREWISE_NUM_THREADS": "x", "COREWISE_BACKENDS__RICH__THREADS": "y"}
    )
    assert [line.rpartition(", got")[0] or line for line in lines] == [
        "corewise.toml line 2: is not valid TOML: Invalid value",
        "env COREWISE_BACKENDS__RICH__THREADS: backends.rich.threads: must be a whole number",
        "env COREWISE_NUM_THREADS: num_threads: must be a whole number",
    ]


def test_a_mistake_in_another_key_of_plugins_hides_nothing(tmp_path):
    raw = {"COREWISE_PLUGINS__STRICT": "maybe", "COREWISE_EXECUTOR": "spwn", "COREWISE_BACKENDS__RICH__THREADS": "x"}
    assert plugin_settings(gather(tmp_path, "", raw)) == PluginSettings()
    assert {line.split(": ")[1] for line in complaints(tmp_path, "", raw)} == {
        "plugins.strict",
        "executor",
        "backends.rich.threads",
    }


def test_an_executor_that_only_a_disabled_plugin_could_bring_is_told(tmp_path):
    (line,) = complaints(tmp_path, "", {"COREWISE_PLUGINS__DISABLE": "*", "COREWISE_EXECUTOR": "foo"})
    assert line.startswith(
        "env COREWISE_EXECUTOR: executor: no executor of this name is installed, and plugins.disable leaves only the "
        "built-in plugins, got 'foo'; allowed "
    )


@pytest.mark.parametrize("key", ["num_cpus", "num_threads", "num_backend_threads", "num_batch_jobs"])
def test_a_number_beyond_every_machine_is_told(tmp_path, key):
    (line,) = complaints(tmp_path, "", {f"COREWISE_{key.upper()}": str(10**22)})
    assert line.startswith(f"env COREWISE_{key.upper()}: {key}: must be at most 65,536, got 1")
    (line,) = complaints(tmp_path, f"[parallel.backends.openblas]\nthreads = {10**22}")
    assert line.startswith("corewise.toml line 2: backends.openblas.threads: must be at most 65,536, got 1")


def test_a_validator_that_names_the_key_does_not_name_it_twice(tmp_path):
    raw = gather(tmp_path, "[parallel]\nexecutors.spawn.max_crashes = 0")
    with pytest.raises(SettingsError) as caught:
        structure(raw, backends={}, executors={"spawn": SpawnSettings})
    (line,) = caught.value.problems
    assert line.startswith("corewise.toml line 2: executors.spawn.max_crashes: must be positive")


def test_nothing_asked_is_the_default(tmp_path):
    settings, origins = structure(gather(tmp_path), backends={}, executors={})
    assert (settings, origins) == (ParallelSettings(), {})
