import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COREWISE = Path(sys.executable).with_name("corewise")
ITEMS = 400

# Each item leaves a mark, so that the test can wait until some are done, and see which ran twice.
WORK = """
import os, time

def work(text):
    with open("marks", "a") as marks:
        marks.write(text + "\\n")
    if int(text) >= int(os.environ.get("BLOCK_AT", 10 ** 9)):
        time.sleep(60)
    if text.endswith("7"):
        raise ValueError(text)
    return {"square": int(text) ** 2, "set": {text, "x", "y"}}
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "in.txt").write_text("".join(f"{number}\n" for number in range(ITEMS)))
    return tmp_path


def command(output, *options):
    return [COREWISE, "map", "work:work", "in.txt", "-o", output, *map(str, options)]


def run(place, output, *options, **environment):
    variables = {**os.environ, "COREWISE_NO_CONFIG": "1", **environment}
    return subprocess.run(
        command(output, *options), cwd=place, env=variables, capture_output=True, text=True, check=False, timeout=60
    )


def cut_short(place, output, number, *options, until, block_at=200):
    """Start a run whose items block from ``block_at`` on, and send it a signal when ``until(place)`` is true."""
    variables = {**os.environ, "COREWISE_NO_CONFIG": "1", "BLOCK_AT": str(block_at)}
    process = subprocess.Popen(
        command(output, *options), cwd=place, env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while not until(place) and process.poll() is None:
            # The run's own file is all there is to watch; a few milliseconds are of no consequence.
            try:
                process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, err


def marked(count):
    def reached(place):
        marks = place / "marks"
        return marks.exists() and len(marks.read_text().splitlines()) > count

    return reached


def journalled(output, count):
    def reached(place):
        journal = place / f"{output}.journal"
        return (
            journal.exists() and sum(stop - start for start, stop in json.loads(journal.read_text())["done"]) >= count
        )

    return reached


def indexes(path):
    return [json.loads(line)["index"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("executor", ["serial", "threads", "spawn"])
def test_resume_after_sigkill_gives_the_same_bytes_as_an_undisturbed_run(place, executor):
    assert run(place, "whole.jsonl", "--executor", executor, "--jobs", 2).returncode == 1
    options = ("--executor", executor, "--jobs", 2, "--chunksize", 1)
    code, _ = cut_short(place, "cut.jsonl", signal.SIGKILL, *options, until=journalled("cut.jsonl", 150))
    assert code == -signal.SIGKILL
    assert not (place / "cut.jsonl").exists()
    (place / "marks").unlink()
    done = run(place, "cut.jsonl", "--resume", *options)
    assert done.returncode == 1, done.stderr
    assert "40 of 400 items failed" in done.stderr
    assert (place / "cut.jsonl").read_bytes() == (place / "whole.jsonl").read_bytes()
    assert indexes(place / "cut.errors.jsonl") == indexes(place / "whole.errors.jsonl")
    assert len((place / "marks").read_text().splitlines()) <= ITEMS - 150
    assert sorted(path.name for path in place.iterdir() if path.suffix == ".part" or "journal" in path.name) == []


def test_resume_of_an_unordered_run_after_sigkill_has_every_item_once(place):
    options = ("--unordered", "--executor", "threads", "--jobs", 3, "--chunksize", 1)
    cut_short(place, "cut.jsonl", signal.SIGKILL, *options, until=journalled("cut.jsonl", 150))
    done = run(place, "cut.jsonl", "--resume", *options)
    assert done.returncode == 1, done.stderr
    rows, errors = indexes(place / "cut.jsonl"), indexes(place / "cut.errors.jsonl")
    assert sorted(rows + errors) == list(range(ITEMS))
    records = [json.loads(line) for line in (place / "cut.errors.jsonl").read_text().splitlines()]
    assert all(record["item"] == str(record["index"]) for record in records)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("executor", ["threads", "spawn"])
def test_an_interrupted_run_does_not_wait_for_items_that_run_elsewhere(place, number, code, executor):
    options = ("--executor", executor, "--jobs", 2, "--chunksize", 1)
    got, err = cut_short(place, "cut.jsonl", number, *options, until=marked(200))
    assert got == code, err
    assert "continue by the same command and --resume" in err
    assert run(place, "cut.jsonl", "--resume", *options).returncode == 1
    assert sorted(indexes(place / "cut.jsonl") + indexes(place / "cut.errors.jsonl")) == list(range(ITEMS))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on_and_loses_no_finished_item(place, number, code):
    options = ("--executor", "serial")
    got, err = cut_short(place, "cut.jsonl", number, *options, until=marked(200))
    assert got == code
    assert "after 200 items; continue by the same command and --resume" in err
    assert "Traceback" not in err
    (place / "marks").unlink()
    assert run(place, "cut.jsonl", "--resume", *options).returncode == 1
    assert (place / "marks").read_text().splitlines() == [str(number) for number in range(200, ITEMS)]
    assert sorted(indexes(place / "cut.jsonl") + indexes(place / "cut.errors.jsonl")) == list(range(ITEMS))


def test_parquet_resumes_to_the_same_bytes(place):
    pytest.importorskip("pyarrow")
    run(place, "whole.parquet")
    (place / "marks").unlink()
    cut_short(place, "cut.parquet", signal.SIGINT, "--executor", "serial", until=marked(200))
    assert run(place, "cut.parquet", "--resume").returncode == 1
    assert (place / "cut.parquet").read_bytes() == (place / "whole.parquet").read_bytes()


@pytest.fixture
def interrupted(place):
    cut_short(place, "cut.jsonl", signal.SIGINT, "--executor", "serial", until=marked(200))
    return place


def test_a_torn_last_line_is_cut_off(interrupted):
    with (interrupted / "cut.jsonl.part").open("ab") as part:
        part.write(b'{"index":200,"resu')
    run(interrupted, "cut.jsonl", "--resume")
    run(interrupted, "whole.jsonl")
    assert (interrupted / "cut.jsonl").read_bytes() == (interrupted / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "options", "named"),
    [
        (lambda place: (place / "in.txt").open("a").write("401\n"), [], "INPUT"),
        (lambda place: (place / "work.py").open("a").write("# other\n"), [], "MODULE:FUNCTION"),
        (lambda place: None, ["--keep-input"], "--keep-input"),
        (lambda place: None, ["--limit", "300"], "--limit"),
        (lambda place: None, ["--unordered", "--errors", "e.jsonl"], "--errors, --unordered"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_what_changed_since_the_run_began_is_named_and_refused(interrupted, change, options, named):
    change(interrupted)
    done = run(interrupted, "cut.jsonl", "--resume", *options)
    assert done.returncode == 2
    assert f"cut.jsonl: cannot be resumed: changed since the run began: {named}; delete" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_that_was_interrupted_is_not_lost_by_starting_anew(interrupted):
    done = run(interrupted, "cut.jsonl")
    assert done.returncode == 2
    assert "an interrupted run left 200 finished items here; continue it by --resume, or delete" in done.stderr
    (interrupted / "cut.jsonl.journal").unlink()
    assert run(interrupted, "cut.jsonl").returncode == 1
    assert len(indexes(interrupted / "cut.jsonl")) == 360


def test_a_part_file_shorter_than_the_journal_says_is_refused(interrupted):
    (interrupted / "cut.jsonl.part").write_bytes(b"")
    done = run(interrupted, "cut.jsonl", "--resume")
    assert done.returncode == 2
    assert "bytes were written and 0 are left" in done.stderr


def test_a_journal_that_is_none_is_refused(interrupted):
    (interrupted / "cut.jsonl.journal").write_text("{")
    done = run(interrupted, "cut.jsonl", "--resume")
    assert done.returncode == 2
    assert "not a journal to resume from" in done.stderr


def test_resume_without_an_interrupted_run_begins_at_the_beginning(place):
    assert run(place, "out.jsonl", "--resume").returncode == 1
    assert len(indexes(place / "out.jsonl")) == 360


def test_a_run_killed_between_its_renames_is_completed(interrupted):
    run(interrupted, "cut.jsonl", "--resume")
    journal = {"version": 1, "identity": None, "done": [[0, ITEMS]], "failed": {"ValueError": 40}}
    journal |= {"rows_size": 1, "errors_size": 1, "complete": True}
    run_identity = interrupted_identity(interrupted)
    (interrupted / "cut.jsonl").rename(interrupted / "cut.jsonl.part")
    (interrupted / "cut.jsonl.journal").write_text(json.dumps(journal | {"identity": run_identity}))
    (interrupted / "marks").unlink()
    done = run(interrupted, "cut.jsonl", "--resume")
    assert done.returncode == 1, done.stderr
    assert len(indexes(interrupted / "cut.jsonl")) == 360
    assert not (interrupted / "marks").exists()
    assert not (interrupted / "cut.jsonl.journal").exists()


def interrupted_identity(place):
    (place / "marks").unlink()
    cut_short(place, "other.jsonl", signal.SIGINT, "--executor", "serial", until=marked(200))
    return json.loads((place / "other.jsonl.journal").read_text())["identity"]


def test_two_runs_never_write_one_output(place):
    variables = {**os.environ, "COREWISE_NO_CONFIG": "1", "BLOCK_AT": "0"}
    first = subprocess.Popen(command("out.jsonl"), cwd=place, env=variables, stderr=subprocess.PIPE)
    try:
        while not marked(0)(place):
            assert first.poll() is None
        second = run(place, "out.jsonl")
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 2
    assert "another run is writing it" in second.stderr


def test_a_reader_that_goes_away_ends_the_run_quietly(place):
    variables = {**os.environ, "COREWISE_NO_CONFIG": "1"}
    shell = f"{COREWISE} map work:work in.txt --on-error skip; echo $? >&2"
    process = subprocess.Popen(
        ["bash", "-c", f"({shell}) | true"], cwd=place, env=variables, stderr=subprocess.PIPE, text=True
    )
    _, err = process.communicate(timeout=60)
    assert err.split() == ["141"]
