import json

import pytest


def test_failed_items_are_recorded_beside_the_output_and_give_exit_code_1_and_a_summary(project):
    project.write("in.txt", "1\n2\n3\nx")
    done = project.map("odd", "in.txt", "-o", "out.jsonl")
    assert done.code == 1
    assert "2 of 4 items failed (2 ValueError)" in done.err
    assert "; records: out.errors.jsonl\n" in done.err
    assert [row["index"] for row in project.rows("out.jsonl")] == [0, 2]
    first, second = project.rows("out.errors.jsonl")
    assert (first["index"], first["item"], first["error"], first["message"]) == (1, "2", "ValueError", "2 is even")
    assert 'raise ValueError(f"{number} is even")' in first["traceback"]
    assert second["item"] == "x"


def test_errors_names_the_file_of_failures_which_appears_even_empty(project):
    project.write("in.txt", "1\n3")
    assert project.map("odd", "in.txt", "-o", "out.jsonl", "--errors", "e.jsonl").code == 0
    assert (project.path / "e.jsonl").read_bytes() == b""


def test_the_file_of_failures_beside_the_target_of_a_link_is_named_where_it_is(project):
    project.write("in.txt", "2")
    (project.path / "real").mkdir()
    (project.path / "link.jsonl").symlink_to("real/r.jsonl")
    assert f"records: {project.path}/real/r.errors.jsonl\n" in project.map("odd", "in.txt", "-o", "link.jsonl").err
    assert (project.path / "real" / "r.errors.jsonl").exists()


def test_errors_of_rows_on_standard_output_go_to_the_file_that_is_named(project):
    project.write("in.txt", "1\n2")
    done = project.map("odd", "in.txt", "--errors", "e.jsonl")
    assert done.code == 1
    assert [row["index"] for row in project.rows("e.jsonl")] == [1]
    assert len(done.out.splitlines()) == 1


def test_without_any_file_each_failure_is_one_line_on_standard_error(project):
    project.write("in.txt", "1\n2")
    assert "item 1 failed: ValueError: 2 is even\n" in project.map("odd", "in.txt").err


def test_the_failures_of_an_earlier_run_do_not_stay_beside_a_good_one(project):
    project.write("in.txt", "2")
    project.map("odd", "in.txt", "-o", "out.jsonl")
    project.write("in.txt", "1")
    assert project.map("odd", "in.txt", "-o", "out.jsonl").code == 0
    assert project.names() == ["in.txt", "out.jsonl"]


def test_skip_leaves_failed_items_out_and_counts_them(project):
    project.write("in.txt", "1\n2")
    done = project.map("odd", "in.txt", "-o", "out.jsonl", "--on-error", "skip")
    assert (done.code, project.names()) == (1, ["in.txt", "out.jsonl"])
    assert "1 of 2 items failed" in done.err


def test_raise_ends_the_run_at_the_first_failed_item_and_resume_goes_on_there(project):
    project.write("in.txt", "1\n3\n4\n5")
    done = project.map("odd", "in.txt", "-o", "out.jsonl", "--on-error", "raise")
    assert done.code == 1
    assert "item 2 failed: ValueError: 4 is even; continue by the same command and --resume" in done.err
    assert project.names() == ["in.txt", "out.jsonl.journal", "out.jsonl.part"]
    again = project.map("odd", "in.txt", "-o", "out.jsonl", "--resume", "--on-error", "skip")
    assert again.code == 1
    assert [row["index"] for row in project.rows("out.jsonl")] == [0, 1, 3]


def test_a_result_without_json_form_is_the_failure_of_its_item(project):
    project.write("in.txt", "a")
    done = project.map("unprintable", "in.txt", "-o", "out.jsonl")
    assert done.code == 1
    assert "no JSON form" in project.rows("out.errors.jsonl")[0]["message"]


HOSTILE = """
class Mute(Exception):
    def __str__(self): raise RuntimeError("no text")
    __repr__ = __str__
class Grim(Exception):
    def __getattr__(self, name): raise RuntimeError(name)
def mute(text): raise Mute(text)
def keyed(text): raise KeyError(Mute(text))
def grim(text): raise Grim(text)
def broken_repr(text):
    class Result:
        def __repr__(self): raise Mute(text)
    return Result()
"""


@pytest.mark.parametrize("executor", ["serial", "threads", "spawn"])
@pytest.mark.parametrize(
    ("function", "error", "place"),
    [
        ("mute", "Mute", "mute"),
        ("keyed", "KeyError", "keyed"),
        ("grim", "Grim", "grim"),
        ("broken_repr", "Mute", "__repr__"),
    ],
)
def test_an_error_that_cannot_say_what_it_is_fails_its_item_only(project, function, error, place, executor):
    (project.path / f"{project.module}.py").write_text(HOSTILE)
    project.write("in.txt", "1\n2")
    done = project.map(function, "in.txt", "-o", "out.jsonl", "--executor", executor)
    assert done.code == 1
    assert "2 of 2 items failed" in done.err
    records = project.rows("out.errors.jsonl")
    assert [record["item"] for record in records] == ["1", "2"]
    assert all(record["error"].endswith(error) and f"in {place}\n" in record["traceback"] for record in records)


def test_an_error_that_cannot_say_what_it_is_ends_a_run_that_allows_none(project):
    (project.path / f"{project.module}.py").write_text(HOSTILE)
    project.write("in.txt", "1")
    done = project.map("mute", "in.txt", "--on-error", "raise")
    assert done.code == 1
    assert done.err.endswith(f"item 0 failed: {project.module}.Mute: <Mute whose text cannot be made>\n")
    assert "item 0 failed" in project.map("mute", "in.txt").err


def test_a_module_whose_error_cannot_say_what_it_is_gets_one_line(project):
    project.write("grim.py", HOSTILE + "raise Mute()")
    project.write("in.txt", "1")
    done = project.run("map", "grim:mute", "in.txt")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "importing grim failed: Mute: <Mute whose text cannot be made>" in done.err


def test_retries_run_a_failed_item_again(project):
    (project.path / f"{project.module}.py").write_text(
        "import os\n"
        "def second_time(name):\n"
        "    if not os.path.exists(name):\n"
        "        open(name, 'w').close()\n"
        "        raise OSError('first time')\n"
        "    return name\n"
    )
    project.write("in.txt", "mark")
    assert project.map("second_time", "in.txt", "--retries", "1").code == 0


def test_the_record_of_a_failed_item_without_json_form_holds_its_repr(project):
    from corewise.cli.failures import record

    made = json.loads(record(3, {"set": object}, ValueError("no")))
    assert made["index"] == 3
    assert "object" in made["item"]


def test_json_gives_a_summary_for_programs_on_the_stream_that_holds_no_rows(project):
    project.write("in.txt", "1\n2\nx")
    done = project.map("odd", "in.txt", "-o", "out.jsonl", "--json")
    assert (done.code, done.err) == (1, "")
    assert json.loads(done.out) == {"done": 3, "failed": {"ValueError": 2}, "errors": "out.errors.jsonl"}
    rows = project.map("odd", "in.txt", "--json", "--on-error", "skip")
    assert json.loads(rows.err) == {"done": 3, "failed": {"ValueError": 2}, "errors": None}
    assert [json.loads(row)["index"] for row in rows.out.splitlines()] == [0]
