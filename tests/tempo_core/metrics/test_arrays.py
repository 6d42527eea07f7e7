"""Intervals on whole files equal the same intervals one by one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_core import moments
from tempo_core.metrics.arrays import best_iou, cross_iou, disjoint, pad, set_iou
from tests.tempo_core.metrics import plain
from tests.tempo_core.metrics.builders import any_window, possible_window

Window = tuple[float, float]
lists = st.lists(
    st.tuples(st.lists(possible_window, max_size=5), st.lists(possible_window, max_size=5)), min_size=1
)


def test_pad_keeps_every_window_and_marks_the_rest() -> None:
    windows = pad([[(1, 2, 0.5), (3, 5)], [], [(7, 9)]])
    assert windows.edges.tolist() == [[[1, 2], [3, 5]], [[0, 0], [0, 0]], [[7, 9], [0, 0]]]
    assert windows.valid.tolist() == [[True, True], [False, False], [True, False]]
    assert windows.counts.tolist() == [2, 0, 1]
    assert windows.lengths_s.tolist() == [[1, 2], [0, 0], [2, 0]]


def test_keep_moves_what_is_kept_to_the_front() -> None:
    windows = pad([[(1, 2), (3, 5), (6, 7)]])
    remaining = windows.keep(np.array([[False, True, True]]))
    assert remaining.edges.tolist() == [[[3, 5], [6, 7], [0, 0]]]
    assert remaining.valid.tolist() == [[True, True, False]]


@given(st.lists(any_window, min_size=1, max_size=4), st.lists(any_window, min_size=1, max_size=4))
def test_cross_iou(a: list[Window], b: list[Window]) -> None:
    fast = cross_iou(pad([a, []]), pad([b, b]))
    slow = [[plain.iou(x, y) for y in b] for x in a]
    assert np.array_equal(fast[0], np.array(slow), equal_nan=True)
    assert (fast[1] == -1).all()


@given(lists)
def test_best_iou(rows: list[tuple[list[Window], list[Window]]]) -> None:
    fast = best_iou(pad([predicted for predicted, _ in rows]), pad([true for _, true in rows]))
    assert fast.tolist() == [plain.best_iou(predicted, true) for predicted, true in rows]


@given(lists)
def test_set_iou(rows: list[tuple[list[Window], list[Window]]]) -> None:
    fast = set_iou(pad([predicted for predicted, _ in rows]), pad([true for _, true in rows]))
    slow = [moments.set_iou(*(moments.moments_from_pairs(side) for side in row)) for row in rows]
    assert fast.tolist() == pytest.approx(slow, abs=1e-12)


@given(st.lists(possible_window, max_size=6))
def test_disjoint_pieces_cover_the_same_seconds(windows: list[Window]) -> None:
    pieces = disjoint(pad([windows]))
    cut = moments.moments_from_pairs(pieces.edges[0][pieces.valid[0]])
    assert moments.merge(cut) == moments.merge(moments.moments_from_pairs(windows))
    assert all(a.end_s <= b.start_s for a, b in pairwise(cut))
