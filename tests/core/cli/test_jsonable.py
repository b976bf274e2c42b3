import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import os
import pathlib
import uuid

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corewise.cli.jsonable import encode
from corewise.cli.task import as_line


@attrs.frozen
class Point:
    x: int
    at: pathlib.PurePath


@dataclasses.dataclass
class Score:
    value: float
    of: Point


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Score(1.5, Point(1, pathlib.PurePosixPath("a/b"))), {"value": 1.5, "of": {"x": 1, "at": "a/b"}}),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.0, np.nan, np.inf]), [1.0, None, None]),
        (np.datetime64("2026-01-02T03:04:05"), "2026-01-02T03:04:05"),
        ({"mean": np.float64("nan")}, {"mean": None}),
        (float("-inf"), None),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.timedelta(minutes=1), 60.0),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (Colour.RED, "red"),
        ({Colour.RED: 1}, {"red": 1}),
        ({1: "a", None: "b", 2.5: "c"}, {"1": "a", "null": "b", "2.5": "c"}),
        ({dt.date(2026, 1, 2): 1}, {"2026-01-02": 1}),
        (b"\x00\xff", "AP8="),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (range(3), [0, 1, 2]),
        (collections.deque([1]), [1]),
        (collections.OrderedDict(a=(1, 2)), {"a": [1, 2]}),
    ],
)
def test_what_functions_return_has_a_json_form(value, expected):
    assert json.loads(encode(value), parse_constant=pytest.fail) == expected


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, 1j, [object], {"deep": [object()]}])
def test_what_has_no_json_form_says_so(value):
    with pytest.raises(TypeError, match="has no JSON form, got"):
        encode(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({1: "a", "1": "b"}, "two keys of a dict are '1' in JSON: 1 and '1'"),
        ({"-1.5": 0, -1.5: 0}, "'-1.5' in JSON: '-1.5' and -1.5"),
        ({None: 0, "null": 0}, "None and 'null'"),
        ({True: 0, "true": 0}, "True and 'true'"),
        ({False: 0, "false": 0}, "False and 'false'"),
        ({Colour.RED: 0, "red": 0}, "and 'red'"),
        ({float("nan"): 0, None: 0}, "nan and None"),
        ([{"deep": Score({1: 0, "1": 0}, None)}], "1 and '1'"),
    ],
)
def test_keys_that_are_one_in_json_are_an_error(value, told):
    with pytest.raises(TypeError) as caught:
        encode(value)
    assert told in str(caught.value)


@given(st.dictionaries(st.integers(-9, 9) | st.sampled_from(["1", "-2", "x", "null", "true", None]), st.integers()))
def test_a_dict_is_encoded_with_every_key_or_not_at_all(value):
    texts = {"null" if key is None else str(key) for key in value}
    if len(texts) == len(value):
        assert json.loads(encode(value)).keys() == texts
    else:
        with pytest.raises(TypeError, match="two keys"):
            encode(value)


def test_what_contains_itself_is_an_error():
    value = []
    value.append(value)
    with pytest.raises((RecursionError, ValueError)):
        encode(value)


def test_a_file_name_that_is_no_text_is_written_escaped():
    line = as_line(encode({"path": os.fsdecode(b"\xff"), "é": 1}))
    assert json.loads(line) == {"path": "\udcff", "é": 1}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_what_is_json_already_stays_as_it_is(value):
    line = as_line(encode(value))
    assert json.loads(line) == value
    assert line.count(b"\n") == 1
