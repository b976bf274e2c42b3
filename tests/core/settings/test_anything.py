from typing import Literal

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given

from corewise.errors import SettingsError
from corewise.settings.app import COREWISE
from corewise.settings.arguments import argument_layer
from corewise.settings.environment import environment_layer
from corewise.settings.model import BackendSettings, ParallelSettings
from corewise.settings.raw import RawSettings
from corewise.settings.structure import plugin_settings, structure, unused_tables


@attrs.frozen(kw_only=True)
class Nested:
    size: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen(kw_only=True)
class Table(BackendSettings):
    layer: Literal["omp", 3] = "omp"
    sizes: tuple[int, ...] = ()
    pair: tuple[int, str] | None = None
    limits: dict[str, Nested] = attrs.field(factory=dict)
    nested: Nested | None = None
    many: list[Nested] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Needy:
    address: str


TABLES = {"backends": {"table": Table}, "executors": {"spawn": Nested, "needy": Needy}}
NAMES = [field.name for cls in (ParallelSettings, Table, Nested, Needy) for field in attrs.fields(cls)]
NAMES += ["disable", "strict", "table", "spawn", "needy", "torch", "unknown", "", "a.b"]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(NAMES)
KEYS = st.sampled_from(NAMES)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "backends": st.dictionaries(KEYS, VALUES, max_size=2) | VALUES,
        "executors": st.dictionaries(KEYS, VALUES, max_size=2) | VALUES,
        "plugins": st.dictionaries(KEYS, VALUES, max_size=2) | VALUES,
        "executor": SCALARS,
        "num_cpus": SCALARS,
        "unknown": VALUES,
    },
)
VARIABLES = st.dictionaries(
    st.lists(KEYS, min_size=1, max_size=4).map(lambda parts: "COREWISE_" + "__".join(parts).upper()),
    st.text(max_size=5) | st.sampled_from(["1", "a,b", "[1", "[1, 2]", "none", "yes", "{a = 1}"]),
    max_size=4,
)


def told(raw):
    """What is told to be wrong; empty where all of it holds."""
    try:
        plugin_settings(raw)
        structure(raw, **TABLES)
    except SettingsError as error:
        return error.problems
    return ()


@given(ARGUMENTS, VARIABLES)
def test_whatever_sources_say_either_holds_or_is_told_to_be_wrong(arguments, variables):
    raw = RawSettings((argument_layer(arguments), environment_layer(COREWISE, variables)))
    problems = told(raw)
    assert all(line.startswith(("argument ", "env ")) and ": " in line for line in problems)
    if problems:
        return
    settings, origins = structure(raw, **TABLES)
    unused = unused_tables(raw, backends=TABLES["backends"], executors=TABLES["executors"])
    assert isinstance(settings, ParallelSettings)
    for path, value in raw.merged().items():
        key = ".".join(path)
        assert key in origins or value.value == {} or any(f": {'.'.join(path[:2])}: " in line for line in unused)


@pytest.mark.parametrize("key", ["num_cpus", "executor", "backends", "plugins"])
def test_a_mistake_is_never_lost(key):
    raw = RawSettings((argument_layer({key: object()}),))
    with pytest.raises(SettingsError):
        structure(raw, **TABLES)
