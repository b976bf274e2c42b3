import os
import pty
import re
import subprocess
import sys
import threading

import pytest

PROGRAM = [sys.executable, "-c", "import sys; from corewise.cli import main; sys.exit(main())"]


def until_closed(terminal, seen):
    try:
        while block := os.read(terminal, 4096):
            seen.append(block)
    except OSError:  # what Linux answers once nobody has the other end open
        return


@pytest.fixture
def on_terminal(project, monkeypatch):
    """Run ``corewise map`` with a terminal as standard error; return its exit code and what the terminal showed."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        terminal, error = pty.openpty()
        seen = []
        reader = threading.Thread(target=until_closed, args=(terminal, seen))
        process = subprocess.Popen(
            [*PROGRAM, "map", f"{project.module}:odd", *arguments], stdout=subprocess.DEVNULL, stderr=error
        )
        os.close(error)
        reader.start()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
            reader.join()
            os.close(terminal)
        return process.returncode, b"".join(seen).decode()

    return run


def test_a_terminal_shows_done_failed_rate_and_time_left(project, on_terminal):
    project.write("in.txt", "1\n2\n3\n4\n5\n")
    code, seen = on_terminal("in.txt", "-o", "out.jsonl")
    assert code == 1
    assert "0/5" in seen  # before the first item is done
    last = [line for line in re.split(r"[\r\n]", seen) if "5/5" in line][-1]
    assert re.search(r"100% .*5/5.* 2 failed .*[\d,]+\.\d/s .*0:00:00", re.sub(r"\x1b\[[\d;?]*\w", "", last)), last
    assert "2 of 5 items failed" in seen


def test_the_bar_counts_no_more_than_the_limit_and_begins_where_a_resumed_run_does(project, on_terminal):
    project.write("in.txt", "1\n3\n4\n5\n7\n")
    assert on_terminal("in.txt", "-o", "out.jsonl", "--limit", "4", "--on-error", "raise")[0] == 1
    code, seen = on_terminal("in.txt", "-o", "out.jsonl", "--limit", "4", "--resume")
    assert code == 1
    assert "2/4" in seen
    assert "4/4" in seen
    assert "0/4" not in seen


def test_a_bar_for_items_that_nobody_has_counted_shows_how_many_are_done(project, on_terminal):
    os.mkfifo(project.path / "in.txt")
    writer = threading.Thread(target=(project.path / "in.txt").write_bytes, args=(b"1\n3\n",))
    writer.start()
    code, seen = on_terminal("in.txt")
    writer.join()
    assert code == 0
    assert "2/?" in seen


def test_a_terminal_stays_quiet_where_that_is_asked(project, on_terminal):
    project.write("in.txt", "1\n")
    assert on_terminal("in.txt", "--no-progress") == (0, "")


def test_what_is_no_terminal_shows_a_bar_only_where_one_is_asked(project):
    project.write("in.txt", "1\n")
    assert project.map("odd", "in.txt").err == ""
    assert "1/1" in project.map("odd", "in.txt", "--progress").err
