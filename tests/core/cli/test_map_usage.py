import contextlib
import gc
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def without_collection():
    """Leave the ends of things to those who own them."""
    gc.disable()
    yield
    gc.enable()


def open_files():
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor by which the directory itself was read
            yield descriptor.readlink().name


def lines(err):
    return err.strip().splitlines()


@pytest.mark.parametrize(
    ("function", "source", "options", "expected"),
    [
        ("uper", "in.txt", [], "has no uper; did you mean upper?"),
        ("value", "in.txt", [], "not a function but int, got 7"),
        ("upper", "i.txt", [], "i.txt: no such file; did you mean in.txt?"),
        ("upper", ".", [], "a directory; take its files as items by --files"),
        ("upper", "in.foo", [], "nothing reads the ending .foo; allowed .txt, .jsonl"),
        ("upper", "in.txt", ["-o", "out.foo"], "nothing writes the ending .foo; allowed .jsonl, .ndjson, .parquet"),
        ("upper", "in.txt", ["-o", "nowhere/out.jsonl"], "no such directory"),
        ("upper", "in.txt", ["-o", "."], "a directory; name a file in it"),
        ("upper", "in.txt", ["--encoding", "uft-8"], "no text encoding 'uft-8'; did you mean utf-8"),
        ("upper", "in.txt", ["--encoding", "utf-16"], "convert the input"),
        ("upper", "in.txt", ["--encoding", "undefined"], "no text encoding 'undefined'"),
        ("upper", "in.txt", ["--executor", "thread"], "argument executor at the command line: executor: "),
        ("upper", "in.txt", ["--on-error", "rise"], '"raise"'),
        ("upper", "in.txt", ["--retires", "1"], "Did you mean --retries?"),
        ("upper", "in.txt", ["--retries", "-1"], "--retries: must be at least 0, got -1"),
        ("upper", "in.txt", ["--timeout", "0"], "--timeout: must be more than 0 seconds, got 0"),
        ("upper", "in.txt", ["--limit", "-3"], "--limit: must be at least 0, got -3"),
        ("upper", "in.txt", ["--chunksize", "0"], "--chunksize: must be at least 1, got 0"),
        ("upper", "in.txt", ["--exclude", "x"], "needs --files"),
        ("upper", "in.txt", ["--resume"], "--resume: needs rows in a file of their own; name one by -o"),
        ("upper", "-", ["--resume", "-o", "o.jsonl"], "standard input cannot be read again"),
        ("upper", "*.nothing", ["--files"], "no file matches"),
        ("upper", "in.txt", ["--errors", "e", "--on-error", "skip"], "use --on-error record"),
    ],
)
def test_a_wrong_command_gets_one_clear_line_and_exit_code_2(project, function, source, options, expected):
    project.write("in.txt", "a")
    project.write("in.foo", "a")
    done = project.map(function, source, *options)
    assert (done.code, done.out) == (2, "")
    assert expected in done.err
    assert "Traceback" not in done.err
    assert len(lines(done.err)) <= 2  # a wrong setting has a headline


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"{'i' * 300}.txt", "iii.txt: cannot be used: File name too long; name another file"),
        ("loop.txt", "loop.txt: cannot be used: Too many levels of symbolic links"),
        ("socket.txt", "socket.txt: cannot be read: No such device or address"),
        (f"in.txt -o {'o' * 300}.jsonl", "ooo.jsonl: cannot be used: File name too long; name another file"),
        (f"in.txt -o {'o' * 245}.jsonl", "too long; the run writes it too, so name another OUTPUT by -o"),
        (f"in.txt --errors {'e' * 252}", "too long; the run writes it too, so name another file by --errors"),
        ("in.txt -o loop.jsonl", "loop.jsonl: cannot be used: Too many levels of symbolic links"),
        ("in.txt --errors loop.jsonl", "loop.jsonl: cannot be used: Too many levels of symbolic links"),
        ("in.txt -o socket.txt", "socket.txt: cannot be written: No such device or address; name a file by -o"),
        ("in.txt -o socket.txt --errors e.jsonl", "socket.txt: cannot be written: No such device or address"),
    ],
)
def test_a_path_that_cannot_be_used_gets_one_line_and_nothing_is_written(project, command, expected):
    project.write("in.txt", "a")
    for name in ("loop.txt", "loop.jsonl"):
        (project.path / name).symlink_to(name)
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.bind("socket.txt")
    before = project.names()
    done = project.map("upper", *command.split())
    assert (done.code, done.out, len(lines(done.err))) == (2, "", 1)
    assert expected in done.err
    assert project.names() == before


def test_a_terminal_that_is_not_there_is_one_line(project):
    project.write("in.txt", "a")
    command = [sys.executable, "-c", "import sys; from corewise.cli import main; sys.exit(main())"]
    command += ["map", f"{project.module}:same", "in.txt", "-o", "/dev/tty"]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == "corewise: /dev/tty: cannot be written: No such device or address; name a file by -o\n"


@pytest.mark.parametrize("option", [["-j", "9" * 23], ["--jobs", "65537"]])
def test_more_workers_than_a_machine_can_hold_are_refused_with_the_bound(project, option):
    project.write("in.txt", "a")
    done = project.map("upper", "in.txt", *option)
    assert (done.code, done.out) == (2, "")
    assert f"num_batch_jobs: must be at most 65,536, got {option[1]}" in done.err


def test_a_limit_beyond_every_count_is_none(project):
    project.write("in.txt", "a")
    assert project.map("upper", "in.txt", "--limit", "9" * 23).out == '{"index":0,"result":"A"}\n'


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("nothing", "write MODULE:FUNCTION"),
        ("no_such_module_at_all:f", "no module no_such_module_at_all"),
        ("jsn:loads", "did you mean json"),
        ("json.decodr:f", "no module json.decodr; did you mean decoder"),
        ("broken:f", "importing broken failed: ZeroDivisionError: division by zero"),
        ("leaving:f", "importing leaving failed: SystemExit: 3"),
        ("unparsable:f", "importing unparsable failed: SyntaxError"),
        ("lib/tools.py:f", "lib/tools.py is a path; write the module's import name, lib.tools:f"),
    ],
)
def test_a_function_that_cannot_be_found_gets_one_clear_line(project, spec, expected):
    project.write("broken.py", "1 / 0")
    project.write("leaving.py", "raise SystemExit(3)")
    project.write("unparsable.py", "def (")
    project.write("in.txt", "a")
    done = project.run("map", spec, "in.txt")
    assert done.code == 2
    assert expected in done.err
    assert len(lines(done.err)) == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("in.jsonl", b'{"a": 1}\n{"a": \n', "in.jsonl line 2: not JSON"),
        ("in.jsonl", b"[" * 100_000, "in.jsonl line 1: cannot be read as JSON"),
        ("in.txt", b"good\nb\xffd\n", "in.txt line 2: not utf-8, got byte 0xff at column 2"),
        ("in.csv", b"a,b\n1,2\n1,2,3\n", "in.csv line 3: 2 columns are named, got 3"),
        ("in.csv", b"a,a\n1,2\n", "in.csv line 1: the first row must name each column once"),
        ("in.csv", b'a\n"x" y\n', "in.csv line 2: not CSV"),
        ("in.parquet", b"no parquet", "in.parquet: not a Parquet file"),
    ],
)
@pytest.mark.parametrize("output", [[], ["-o", "out.jsonl"]])
def test_malformed_input_is_told_by_its_line(project, name, content, expected, output):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    project.write(name, content)
    done = project.map("same", name, *output)
    assert done.code == 2
    assert expected in done.err
    assert len(lines(done.err)) == 1
    assert "out.jsonl" not in project.names()


def test_a_line_that_a_codec_refuses_in_its_own_way_is_told(project):
    project.write("in.txt", "a\nxn--a\n")
    done = project.map("same", "in.txt", "--encoding", "idna")
    assert (done.code, len(lines(done.err))) == (2, 1)
    assert "in.txt line 2: not idna" in done.err


def test_parquet_columns_that_share_a_name_are_refused(project):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), project.path / "in.parquet")
    done = project.map("same", "in.parquet")
    assert (done.code, done.out, len(lines(done.err))) == (2, "", 1)
    assert "in.parquet: each column must have a name of its own, got ['a', 'a']" in done.err


@pytest.mark.parametrize(
    ("name", "content"),
    [("in.txt", b"a\n\xff\n"), ("in.jsonl", b"[\n"), ("in.csv", b"a,a\n"), ("in.csv", b'a\n"x" y\n')],
)
def test_a_malformed_input_is_closed_when_the_command_ends(project, without_collection, name, content):
    project.write(name, content)
    assert project.map("same", name).code == 2
    assert name not in set(open_files())


def test_the_items_before_a_malformed_line_are_kept(project):
    project.write("in.jsonl", '1\n2\n{"a\n')
    done = project.map("same", "in.jsonl", "-o", "out.jsonl")
    assert "the rows so far are in" in done.err
    assert [row["result"] for row in project.rows("out.jsonl.part")] == [1, 2]
    assert project.names() == ["in.jsonl", "out.jsonl.part"]


@pytest.mark.parametrize("arguments", [["mop"], ["map"], ["map", "a:b"], ["settings", "--jsno"]])
def test_a_command_that_is_none_gets_one_line_and_exit_code_2(project, arguments):
    done = project.run(*arguments)
    assert done.code == 2
    assert len(lines(done.err)) == 1
