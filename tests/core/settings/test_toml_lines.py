import hypothesis.strategies as st
import pytest
import tomli
from hypothesis import given

from corewise.settings.toml_lines import key_lines

DOCUMENT = '''\
# a comment with [brackets] and key = value
top = 1  # after a value
dotted.a.b = "x = 1"

[table]
"quoted.key" = 'lit # no comment'
'literal key' = 2
"esc\\u0041ped" = 3
 indented = """
not_a_key = 1
\\"""still inside""\\
"""
raw = \'\'\'
also_not = 1
\'\'\'
array = [
  1,
  # between
  "two, ]",
  [3,
   4],
]
inline = { x = 1, y.z = [
  5, 6 ], "w" = {} }
spread = {
  first = 1,
  # a comment
  second = 2,
}

[table.sub.deeper]
k = 1979-05-27T07:32:00Z
[[list]]
name = "a"
[list.child]
n = 1
[[list]]
name = "b"
[[list.child2]]
n = 2
'''

EXPECTED = {
    ("top",): 2,
    ("dotted",): 3,
    ("dotted", "a"): 3,
    ("dotted", "a", "b"): 3,
    ("table",): 5,
    ("table", "quoted.key"): 6,
    ("table", "literal key"): 7,
    ("table", "escAped"): 8,
    ("table", "indented"): 9,
    ("table", "raw"): 13,
    ("table", "array"): 16,
    ("table", "array", 0): 17,
    ("table", "array", 1): 19,
    ("table", "array", 2): 20,
    ("table", "array", 2, 0): 20,
    ("table", "array", 2, 1): 21,
    ("table", "inline"): 23,
    ("table", "inline", "x"): 23,
    ("table", "inline", "y"): 23,
    ("table", "inline", "y", "z"): 23,
    ("table", "inline", "y", "z", 0): 24,
    ("table", "inline", "y", "z", 1): 24,
    ("table", "inline", "w"): 24,
    ("table", "spread"): 25,
    ("table", "spread", "first"): 26,
    ("table", "spread", "second"): 28,
    ("table", "sub"): 31,
    ("table", "sub", "deeper"): 31,
    ("table", "sub", "deeper", "k"): 32,
    ("list",): 33,
    ("list", 0): 33,
    ("list", 0, "name"): 34,
    ("list", 0, "child"): 35,
    ("list", 0, "child", "n"): 36,
    ("list", 1): 37,
    ("list", 1, "name"): 38,
    ("list", 1, "child2"): 39,
    ("list", 1, "child2", 0): 39,
    ("list", 1, "child2", 0, "n"): 40,
}


def places(value, place=()):
    """All keys and elements of a parsed document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*place, key)
        yield from places(below, (*place, key))


def test_every_key_and_element_is_on_its_line():
    assert key_lines(DOCUMENT) == EXPECTED
    assert set(places(tomli.loads(DOCUMENT))) == set(EXPECTED)


@pytest.mark.parametrize("text", ["", "\n\n# nothing\n", "  \t\n"])
def test_a_document_without_keys_has_no_lines(text):
    assert key_lines(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        'a = """"quoted""""',
        "a = ''''x''''",
        'a = ""\nb = 1',
        'a = """"""\nb = 1',
        r'a = "\\"' + "\nb = 1",
        "a=[]\n[b]\n[ c . d ]",
    ],
)
def test_awkward_strings_and_headers_leave_no_key_behind(text):
    assert set(places(tomli.loads(text))) == set(key_lines(text))


KEYS = st.text(st.sampled_from("ab-_. \"'#=[]\\"), min_size=1, max_size=4)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text(st.sampled_from("ab#=[]{},'\"\\\n"), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def written(value, draw):
    """TOML for a value, with blanks, newlines and comments wherever the grammar lets them stand."""
    gap = draw(st.sampled_from(["", " ", "\n", " # ]} a\n"]))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{gap}" + f"{gap},{gap}".join(written(one, draw) for one in value) + f"{gap}]"
    if isinstance(value, dict):
        pairs = (f"{quoted(key)} = {written(one, draw)}" for key, one in value.items())
        return f"{{{gap}" + f"{gap},{gap}".join(pairs) + f"{gap}}}"
    return str(value)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.data())
def test_every_place_that_the_parser_knows_has_a_line(document, data):
    text = "".join(f"{quoted(key)} = {written(value, data.draw)}\n" for key, value in document.items())
    assert tomli.loads(text) == document
    lines = key_lines(text)
    assert set(lines) == set(places(document))
    for (*_, last), line in lines.items():
        if isinstance(last, str):
            assert quoted(last) in text.splitlines()[line - 1]
