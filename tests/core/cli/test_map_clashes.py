import json
import os
import subprocess
import sys

import pytest

from corewise.cli.failures import record

FAILURE = record(0, "x", ValueError("x")).decode()


def lines(err):
    return err.strip().splitlines()


def everything(project):
    return {path: path.read_bytes() for path in sorted(project.path.iterdir()) if path.is_file()}


def refused(project, *command):
    """Run a command that must change nothing, and return the line that says why it was refused."""
    before = everything(project)
    done = project.map("same", *command)
    assert (done.code, done.out, len(lines(done.err))) == (2, "", 1), done.err
    assert everything(project) == before
    return done.err


def test_the_input_is_never_taken_for_the_failures_of_an_earlier_run(project):
    project.write("run.errors.jsonl", FAILURE)
    line = refused(project, "run.errors.jsonl", "-o", "run.jsonl")
    assert "INPUT run.errors.jsonl and the file of failures run.errors.jsonl are the same file; name another" in line


@pytest.mark.parametrize(
    "content", ['{"index": 1, "item": 2}\n', "[1]\n", "notes\n", '{"index":0,"item":1,"result":1}\n']
)
@pytest.mark.parametrize("named", [[], ["--errors", "other.errors.jsonl"]])
def test_a_file_that_holds_no_records_does_not_give_way_to_them(project, content, named):
    project.write("in.txt", "a")
    project.write("other.errors.jsonl", content)
    line = refused(project, "in.txt", "-o", "other.jsonl", *named)
    assert "other.errors.jsonl: is there, and no run of corewise map made it; move it away or name another" in line


@pytest.mark.parametrize("policy", ["skip", "raise"])
def test_a_run_that_records_nothing_leaves_the_file_of_somebody_else_alone(project, policy):
    project.write("in.txt", "a")
    project.write("other.errors.jsonl", "notes\n")
    assert project.map("same", "in.txt", "-o", "other.jsonl", "--on-error", policy).code == 0
    assert (project.path / "other.errors.jsonl").read_text() == "notes\n"
    assert len(project.rows("other.jsonl")) == 1


def test_records_of_an_interrupted_run_do_not_replace_the_file_of_somebody_else(project):
    project.write("in.txt", "2\n3\n")
    journal = {"identity": {}, "done": [[0, 1]], "failed": {"ValueError": 1}, "rows_size": 0, "version": 1}
    project.write("out.jsonl.journal", json.dumps(journal | {"errors_size": len(FAILURE)}))
    project.write("out.jsonl.part", "")
    project.write("out.errors.jsonl.part", FAILURE)
    project.write("out.errors.jsonl", "notes\n")
    assert "out.errors.jsonl: is there" in refused(
        project, "in.txt", "-o", "out.jsonl", "--resume", "--on-error", "skip"
    )


def test_an_empty_file_where_failures_would_go_stays(project):
    project.write("in.txt", "a")
    project.write("out.errors.jsonl", "")
    assert project.map("same", "in.txt", "-o", "out.jsonl").code == 0
    assert "out.errors.jsonl" in project.names()


@pytest.mark.parametrize(
    "name", ["out.jsonl.part", "out.jsonl.journal", "out.jsonl.journal.new", "out.errors.jsonl.part"]
)
def test_a_helper_file_that_no_run_made_is_not_written_over(project, name):
    project.write("in.txt", "2")
    project.write(name, "half a download")
    assert f"{name}: " in refused(project, "in.txt", "-o", "out.jsonl")


def test_a_parquet_file_under_the_name_of_a_helper_is_not_written_over(project):
    pytest.importorskip("pyarrow")
    project.write("in.txt", "2")
    project.write("out.parquet.part.parquet", "PAR1")
    assert "out.parquet.part.parquet: is there" in refused(project, "in.txt", "-o", "out.parquet")


def test_a_link_under_the_name_of_a_helper_is_not_followed(project):
    project.write("in.txt", "a")
    project.write("elsewhere", "")
    (project.path / "out.jsonl.part").symlink_to("elsewhere")
    assert "out.jsonl.part: is there" in refused(project, "in.txt", "-o", "out.jsonl")


@pytest.mark.parametrize("output", [[], ["-o", "out.jsonl"]])
@pytest.mark.parametrize("errors", ["directory", "pipe"])
def test_failures_go_to_a_regular_file_only(project, errors, output):
    project.write("in.txt", "a")
    (project.path / "directory").mkdir()
    os.mkfifo(project.path / "pipe")
    assert f"{errors}: is there" in refused(project, "in.txt", "--errors", errors, *output)


def test_what_a_killed_run_left_without_its_journal_is_written_over(project):
    project.write("in.txt", "1\n2")
    project.write("out.jsonl.part", '{"index":0,"result":1}\n{"ind')
    project.write("out.errors.jsonl.part", FAILURE[:40])
    project.write("out.jsonl.journal.new", '{"identity": {')
    assert project.map("odd", "in.txt", "-o", "out.jsonl").code == 1
    assert project.names() == ["in.txt", "out.errors.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("a.jsonl -o a.jsonl", "INPUT a.jsonl and -o a.jsonl are the same file; name another OUTPUT by -o"),
        ("a.jsonl -o ./a.jsonl", "INPUT a.jsonl and -o a.jsonl are the same file"),
        ("a.jsonl -o soft.jsonl", "INPUT a.jsonl and -o soft.jsonl are the same file"),
        ("a.jsonl -o hard.jsonl", "INPUT a.jsonl and -o hard.jsonl are the same file"),
        ("hard.jsonl -o soft.jsonl", "INPUT hard.jsonl and -o soft.jsonl are the same file"),
        ("a.jsonl --errors a.jsonl", "INPUT a.jsonl and --errors a.jsonl are the same file; name another file by"),
        ("a.jsonl -o new.jsonl --errors hard.jsonl", "INPUT a.jsonl and --errors hard.jsonl are the same file"),
        ("in.txt -o a.jsonl --errors a.jsonl", "-o a.jsonl and --errors a.jsonl are the same file; name another file"),
        ("in.txt -o new.jsonl --errors new.jsonl", "-o new.jsonl and --errors new.jsonl are the same file"),
        ("in.txt -o new.jsonl --errors new.jsonl.part", "new.jsonl.part and --errors new.jsonl.part are the same"),
        ("in.txt -o new.jsonl --errors new.jsonl.journal", "new.jsonl.journal and --errors new.jsonl.journal are"),
        ("in.txt -o new.jsonl --errors new.jsonl.journal.new", "--errors new.jsonl.journal.new are the same file"),
        ("in.txt -o a.jsonl --errors hard.jsonl --resume", "-o a.jsonl and --errors hard.jsonl are the same file"),
    ],
)
def test_one_file_for_two_purposes_is_refused(project, command, expected):
    project.write("in.txt", "1")
    project.write("a.jsonl", "1\n2\n")
    (project.path / "soft.jsonl").symlink_to("a.jsonl")
    (project.path / "hard.jsonl").hardlink_to(project.path / "a.jsonl")
    assert expected in refused(project, *command.split())


@pytest.mark.parametrize("arguments", ["- -o a.jsonl < a.jsonl", "- --errors a.jsonl < a.jsonl", "a.jsonl >> a.jsonl"])
def test_standard_input_and_output_may_be_a_file_that_is_named_as_well(project, arguments):
    path = project.write("a.jsonl", "1\n2\n")
    program = f"{sys.executable} -c 'import sys; from corewise.cli import main; sys.exit(main())'"
    done = subprocess.run(
        ["bash", "-c", f"{program} map {project.module}:same {arguments}"],
        cwd=project.path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, len(lines(done.stderr))) == (2, 1)
    assert "are the same file" in done.stderr
    assert project.names() == ["a.jsonl"]
    assert path.read_text() == "1\n2\n"


def test_what_a_run_writes_is_no_item_under_any_of_its_names(project):
    project.write("rows.jsonl", "")
    project.write("e.jsonl", "")
    project.write("other.jsonl", "")
    (project.path / "hard.jsonl").hardlink_to(project.path / "rows.jsonl")
    command = [
        sys.executable,
        "-c",
        "import sys; from corewise.cli import main; sys.exit(main())",
        "map",
        f"{project.module}:same",
        "*.jsonl",
        "--files",
        "--errors",
        "e.jsonl",
    ]
    with (project.path / "rows.jsonl").open("wb") as rows:
        subprocess.run(command, cwd=project.path, stdout=rows, timeout=60, check=True)
    assert [row["result"] for row in project.rows("rows.jsonl")] == ["other.jsonl"]
