import json

import pytest


def test_each_line_of_text_gives_one_row_on_standard_output(project):
    project.write("in.txt", "a\nb\r\n\nd")
    done = project.map("upper", "in.txt")
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"index": 0, "result": "A"},
        {"index": 1, "result": "B"},
        {"index": 2, "result": ""},
        {"index": 3, "result": "D"},
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_line(project):
    project.write("in.txt", "\ufeffa\nb")
    assert '"A"' in project.map("upper", "in.txt").out


def test_jsonl_gives_values_and_passes_over_blank_lines(project):
    project.write("in.jsonl", '{"a": 1}\n\n[2]\n  \nnull\n')
    project.map("same", "in.jsonl", "-o", "out.jsonl")
    assert [row["result"] for row in project.rows("out.jsonl")] == [{"a": 1}, [2], None]


def test_csv_gives_dicts_by_the_names_in_the_first_row(project):
    project.write("in.csv", 'name,text\nx,"two\nlines"\ny,"a ""quote"""\n')
    project.map("same", "in.csv", "-o", "out.jsonl")
    assert [row["result"] for row in project.rows("out.jsonl")] == [
        {"name": "x", "text": "two\nlines"},
        {"name": "y", "text": 'a "quote"'},
    ]


def test_the_only_column_of_a_csv_file_keeps_its_blank_values(project):
    project.write("in.csv", 'name\nx\n\n""\ny\n')
    project.map("same", "in.csv", "-o", "out.jsonl")
    assert [row["result"] for row in project.rows("out.jsonl")] == [{"name": name} for name in ("x", "", "", "y")]


def test_blank_lines_are_no_rows_of_several_columns(project):
    project.write("in.csv", "a,b\n\n1,2\n\n")
    assert project.map("same", "in.csv").out == '{"index":0,"result":{"a":"1","b":"2"}}\n'


def test_parquet_gives_dicts_by_column_and_goes_back_to_parquet(project):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"n": range(5000), "s": [f"é{n}" for n in range(5000)]}), project.path / "in.parquet")
    assert project.map("same", "in.parquet", "-o", "out.parquet").code == 0
    table = pq.read_table(project.path / "out.parquet")
    assert table.column_names == ["index", "result"]
    assert table.to_pylist()[4999] == {"index": 4999, "result": {"n": 4999, "s": "é4999"}}


def test_a_parquet_column_of_values_that_fit_no_one_type_holds_json(project):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    project.write("in.jsonl", '1\n"two"\n{"three": [3]}\n')
    assert project.map("same", "in.jsonl", "-o", "out.parquet", "--keep-input").code == 0
    rows = pq.read_table(project.path / "out.parquet").to_pylist()
    assert [json.loads(row["result"]) for row in rows] == [1, "two", {"three": [3]}]
    assert [row["index"] for row in rows] == [0, 1, 2]


@pytest.mark.parametrize("values", ["{}", '"\\udc80"', "123456789012345678901234567890", "[]", "null"])
def test_parquet_takes_results_that_it_has_no_type_for(project, values):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    project.write("in.jsonl", values)
    assert project.map("same", "in.jsonl", "-o", "out.parquet").code == 0
    assert pq.read_table(project.path / "out.parquet").num_rows == 1


def test_empty_input_gives_empty_output(project):
    pytest.importorskip("pyarrow")
    project.write("in.txt", "")
    assert project.map("upper", "in.txt", "-o", "out.jsonl").code == 0
    assert project.map("upper", "in.txt", "-o", "out.parquet").code == 0
    assert (project.path / "out.jsonl").read_bytes() == b""
    assert project.names() == ["in.txt", "out.jsonl", "out.parquet"]


@pytest.mark.parametrize("name", ["in.txt", "in.jsonl", "in.csv"])
@pytest.mark.parametrize("content", ["", "\ufeff"])
def test_a_file_of_nothing_or_of_a_byte_order_mark_alone_is_empty_input(project, name, content):
    project.write(name, content)
    done = project.map("same", name, "-o", "out.jsonl", "--progress")
    assert done.code == 0, done.err
    assert (project.path / "out.jsonl").read_bytes() == b""


def test_an_empty_table_has_the_columns_of_a_full_one(project):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    project.write("in.txt", "2")
    for limit in (0, 1):  # no item, and none that succeeds
        project.map("odd", "in.txt", "-o", "out.parquet", "--keep-input", "--limit", limit)
        assert pq.read_table(project.path / "out.parquet").column_names == ["index", "item", "result"]


def test_rows_go_to_standard_output_where_a_hyphen_names_it(project):
    project.write("in.txt", "a")
    assert project.map("upper", "in.txt", "-o", "-").out == '{"index":0,"result":"A"}\n'


def test_files_gives_the_sorted_paths_that_match_without_what_is_excluded_or_written(project):
    (project.path / "deep" / "skip").mkdir(parents=True)
    for name in ("b.txt", "deep/a.txt", "deep/skip/c.txt", "deep/d.py"):
        project.write(name, "")
    done = project.map("same", "**/*.*", "--files", "--exclude", "*skip*", "--exclude", "*.py*", "-o", "x.jsonl")
    assert done.code == 0
    assert [row["result"] for row in project.rows("x.jsonl")] == ["b.txt", "deep/a.txt"]
    again = project.map("same", "**/*.*", "--files", "--exclude", "*skip*", "--exclude", "*.py*", "-o", "x.jsonl")
    assert again.code == 0
    assert len(project.rows("x.jsonl")) == 2


def test_keep_input_puts_the_item_into_the_row(project):
    project.write("in.txt", "a")
    assert project.map("upper", "in.txt", "--keep-input").out == '{"index":0,"item":"a","result":"A"}\n'


def test_limit_looks_at_the_first_items_only(project):
    project.write("in.txt", "a\nb\nc")
    assert len(project.map("upper", "in.txt", "--limit", "2").out.splitlines()) == 2
    assert project.map("upper", "in.txt", "--limit", "0").out == ""


def test_what_functions_and_their_children_print_does_not_get_among_the_rows(project):
    project.write("in.txt", "a\nb")
    done = project.map("noisy", "in.txt")
    assert [json.loads(line)["result"] for line in done.out.splitlines()] == ["a", "b"]
    assert done.err.count("deep noise") == 2


def test_the_encoding_of_the_input_can_be_named(project):
    project.write("in.txt", "é", encoding="latin-1")
    assert json.loads(project.map("upper", "in.txt", "--encoding", "latin-1").out)["result"] == "É"


def test_the_name_of_an_encoding_with_a_byte_order_mark_is_allowed(project):
    project.write("in.txt", "\ufeffé\n\ufeffe")
    rows = project.map("same", "in.txt", "--encoding", "utf-8-sig").out.splitlines()
    assert [json.loads(row)["result"] for row in rows] == ["é", "\ufeffe"]


@pytest.mark.parametrize("order", [[], ["--unordered"]])
@pytest.mark.parametrize("executor", ["serial", "threads", "spawn"])
def test_every_item_is_there_once_on_every_executor_in_both_orders(project, executor, order):
    project.write("in.txt", "\n".join(map(str, range(3000))))
    done = project.map("odd", "in.txt", "-o", "o.jsonl", "--executor", executor, "--jobs", 2, "--chunksize", 7, *order)
    rows, errors = project.rows("o.jsonl"), project.rows("o.errors.jsonl")
    assert done.code == 1
    assert sorted(row["index"] for row in rows) == list(range(1, 3000, 2))
    assert all(row["result"] == row["index"] for row in rows)
    assert sorted(row["index"] for row in errors) == list(range(0, 3000, 2))
    assert all(row["item"] == str(row["index"]) for row in errors)
    if not order:
        assert rows == sorted(rows, key=lambda row: row["index"])


def test_an_output_is_written_through_a_link(project):
    project.write("in.txt", "a")
    (project.path / "real").mkdir()
    (project.path / "real" / "r.jsonl").touch()
    (project.path / "link.jsonl").symlink_to("real/r.jsonl")
    project.map("upper", "in.txt", "-o", "link.jsonl")
    assert (project.path / "link.jsonl").is_symlink()
    assert len(project.rows("real/r.jsonl")) == 1


def test_rows_go_to_a_device_as_they_are(project):
    project.write("in.txt", "a")
    assert project.map("upper", "in.txt", "-o", "/dev/null").code == 0
