import subprocess
import sys

import pytest

PROGRAM = f"{sys.executable} -c 'import sys; from corewise.cli import main; sys.exit(main())'"
NOISY = """
import os
def noisy(text):
    print("noise", flush=True)
    os.system("echo noise; exit 0")
    return text
def failing(text): raise ValueError(text)
def no_a(text):
    if text == "a": raise ValueError(text)
    return text
"""


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("COREWISE_NO_CONFIG", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "work.py").write_text(NOISY)
    (tmp_path / "in.txt").write_text("a\nb\n")

    def run(text):
        words = text.replace("corewise", PROGRAM, 1)
        return subprocess.run(
            ["bash", "-c", words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.mark.parametrize("executor", ["serial", "spawn"])
@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_to_a_file_needs_no_standard_stream_and_nothing_is_printed_into_its_files(
    shell, tmp_path, closed, executor
):
    done = shell(f"corewise map work:noisy in.txt -o out.jsonl --executor {executor} --jobs 1 {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out.jsonl").read_text() == '{"index":0,"result":"a"}\n{"index":1,"result":"b"}\n'


def test_a_run_without_failures_succeeds_where_standard_error_is_closed(shell):
    done = shell("corewise map work:noisy in.txt 2>&-")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    failed = shell("corewise map work:failing in.txt 2>&-")
    assert (failed.returncode, failed.stdout) == (1, "")


def test_a_standard_error_that_takes_no_more_costs_no_item(shell):
    done = shell("corewise map work:no_a in.txt 2> /dev/full")
    assert (done.returncode, done.stdout) == (1, '{"index":1,"result":"b"}\n')
    assert shell("corewise nonsense 2> /dev/full").returncode == 2


@pytest.mark.parametrize("command", ["map work:noisy in.txt", "doctor", "schema", "settings --json", "--help"])
def test_what_goes_to_a_closed_standard_output_is_refused_by_one_line(shell, command):
    done = shell(f"corewise {command} >&-")
    assert (done.returncode, done.stderr) == (2, "corewise: standard output: closed; send it elsewhere\n")


def test_a_closed_standard_input_is_no_empty_one(shell, tmp_path):
    done = shell("corewise map work:noisy - -o out.jsonl <&-")
    assert (done.returncode, done.stderr) == (2, "corewise: standard input: closed; name a file as INPUT\n")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_program_finds_standard_output_closed_as_it_was(shell):
    done = shell("corewise run bash -c 'echo >&1' >&-")
    assert done.returncode == 1
    assert "Bad file descriptor" in done.stderr


def test_a_working_directory_that_is_gone_is_one_line(shell, tmp_path):
    (tmp_path / "gone").mkdir()
    done = shell("cd gone; rmdir ../gone; corewise map work:noisy in.txt")
    assert done.returncode == 2
    assert done.stderr == "corewise: the working directory: No such file or directory; change to one that is there\n"
