import os
import subprocess
import sys
import threading

import pytest


@pytest.fixture
def feed(project):
    """Make a named pipe whose writer writes once and ends; a reader that opens it twice would wait for ever."""
    writers = []

    def make(name, content):
        path = project.path / name
        os.mkfifo(path)
        writers.append(threading.Thread(target=path.write_bytes, args=(content,)))
        writers[-1].start()
        return name

    yield make
    for writer in writers:
        writer.join()


def command(project, rest):
    program = f"{sys.executable} -c 'import sys; from corewise.cli import main; sys.exit(main())'"
    return ["bash", "-c", f"{program} map {project.module}:same {rest}"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("in.txt", b"a\nb\n", ["a", "b"]),
        ("in.jsonl", b"1\n[2]\n", [1, [2]]),
        ("in.csv", b"a,b\n1,2\n", [{"a": "1", "b": "2"}]),
    ],
)
@pytest.mark.parametrize("progress", [[], ["--progress"]])
def test_a_named_pipe_is_opened_once_and_read_by_its_ending(project, feed, name, content, expected, progress):
    done = project.map("same", feed(name, content), "-o", "out.jsonl", *progress)
    assert done.code == 0, done.err
    assert [row["result"] for row in project.rows("out.jsonl")] == expected


def test_the_pipe_of_a_process_substitution_is_standard_input_by_one_more_sign(project):
    done = subprocess.run(command(project, "- < <(seq 2)"), capture_output=True, cwd=project.path, check=True)
    assert done.stdout == b'{"index":0,"result":"1"}\n{"index":1,"result":"2"}\n'


@pytest.mark.parametrize("rest", ["<(seq 2)", "<(seq 2) -o out.jsonl", "/dev/null"])
def test_a_pipe_whose_name_tells_no_format_gets_one_line_that_says_how(project, rest):
    done = subprocess.run(command(project, rest), capture_output=True, text=True, cwd=project.path, check=False)
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert (
        "without an ending that tells its format (.txt, .jsonl, .ndjson, .csv); for its lines write - as" in done.stderr
    )


def test_a_pipe_can_neither_be_resumed_nor_hold_parquet(project):
    os.mkfifo(project.path / "in.txt")
    os.mkfifo(project.path / "in.parquet")
    done = project.map("same", "in.txt", "-o", "out.jsonl", "--resume")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--resume: in.txt cannot be read again; save it to a file" in done.err
    done = project.map("same", "in.parquet")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "in.parquet: a pipe; Parquet is read from its end" in done.err
