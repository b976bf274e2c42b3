import itertools
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corewise.cli.feed import Feed
from corewise.cli.outputs.checkpoints import Checkpoints
from corewise.cli.outputs.file import FileOutput
from corewise.cli.outputs.paths import OutputPaths
from corewise.cli.outputs.ranges import Ranges
from corewise.cli.usage import UsageError


@given(st.lists(st.integers(0, 60), unique=True))
def test_ranges_hold_what_was_added_in_any_order(indexes):
    ranges = Ranges()
    for index in indexes:
        ranges.add(index)
    pairs = ranges.as_pairs()
    assert [index for start, stop in pairs for index in range(start, stop)] == sorted(indexes)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(pairs))
    assert ranges.count == len(indexes)
    assert ranges.end == max(indexes, default=-1) + 1
    assert sorted([*ranges.missing(), *indexes]) == list(range(ranges.end))
    assert Ranges(pairs).as_pairs() == pairs


@given(st.sets(st.integers(0, 20)), st.integers(0, 25))
def test_a_feed_gives_each_item_that_is_not_done_with_its_index(done, limit):
    ranges = Ranges()
    for index in done:
        ranges.add(index)
    feed = Feed([f"item {index}" for index in range(22)], ranges, limit)
    fed = list(feed)
    assert fed == [(index, f"item {index}") for index in range(min(22, limit)) if index not in done]
    assert [feed.index_at(position) for position in range(len(fed))] == [index for index, _ in fed]
    assert [feed.take(index) for index, _ in fed] == [item for _, item in fed]


@pytest.fixture
def paths(tmp_path):
    return OutputPaths.of(tmp_path / "out.jsonl", None)


def test_nothing_appears_before_the_end_and_nothing_but_the_output_stays(paths, tmp_path):
    output = FileOutput(paths, {"of": 1}, resume=False)
    output.row(0, b'{"index":0}\n')
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl.journal", "out.jsonl.part"]
    output.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert paths.output.read_bytes() == b'{"index":0}\n'


def test_a_run_that_did_nothing_leaves_nothing(paths, tmp_path):
    FileOutput(paths, {}, resume=False).abandon(resumable=True)
    assert list(tmp_path.iterdir()) == []


def test_the_journal_never_speaks_of_more_than_the_part_file_holds(paths):
    output = FileOutput(paths, {}, resume=False)
    output.row(1, b"one\n")
    output.failure(0, "ValueError", b"zero\n")
    assert "--resume" in output.abandon(resumable=True)
    journal = json.loads(paths.journal.read_text())
    assert journal["done"] == [[0, 2]]
    assert (journal["rows_size"], journal["errors_size"]) == (4, 5)
    assert journal["failed"] == {"ValueError": 1}


def test_a_resumed_run_that_cannot_be_opened_leaves_all_as_it_was(paths):
    first = FileOutput(paths, {"of": 1}, resume=False)
    first.row(0, b"zero\n")
    first.abandon(resumable=True)
    before = {path.name: path.read_bytes() for path in paths.output.parent.iterdir()}
    with pytest.raises(UsageError, match="changed since the run began: of"):
        FileOutput(paths, {"of": 2}, resume=True)
    assert {path.name: path.read_bytes() for path in paths.output.parent.iterdir()} == before


def test_a_disk_that_cannot_be_written_is_told_at_the_next_row(tmp_path):
    told = threading.Event()

    def full():
        told.set()
        raise OSError(28, "No space left on device")

    checkpoints = Checkpoints(full, interval=0.01)
    with checkpoints:
        pass
    assert told.wait(10)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.stop()
    with pytest.raises(OSError, match="No space left"), checkpoints:
        pass
