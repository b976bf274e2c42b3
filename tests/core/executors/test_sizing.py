"""How many items travel together, by what was measured before."""

import pytest

from corewise.executors.sizing import LARGEST_CHUNK, WAITING_BYTES, ChunkSizer


def sizer_that_has_seen(*sizes, workers=2):
    sizer = ChunkSizer(workers, None, None, None)
    for size in sizes:
        items = sizer.next_size(1 << 30)
        sizer.measured(items, 1e-7 * items, size * items)
    return sizer


def test_quick_items_travel_in_large_chunks():
    assert sizer_that_has_seen(*[0] * 10).next_size(1 << 30) == LARGEST_CHUNK


@pytest.mark.parametrize("size", [1 << 20, 16 << 20, 1 << 30])
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_two_chunks_of_large_items_for_each_worker_hold_no_more_than_may_wait(workers, size):
    chunk = sizer_that_has_seen(*[size] * 10, workers=workers).next_size(1 << 30)
    assert chunk == 1 or chunk * 2 * workers * size <= WAITING_BYTES


def test_one_chunk_of_large_items_is_enough_to_make_the_next_ones_small_and_many_small_ones_make_them_large_again():
    sizes = [0] * 10 + [16 << 20]
    assert sizer_that_has_seen(*sizes).next_size(1 << 30) <= 4
    assert sizer_that_has_seen(*sizes, *[0] * 100).next_size(1 << 30) == LARGEST_CHUNK
