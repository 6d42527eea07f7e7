"""The 2-second grid: every snapped window covers whole clips of the video, and clip ids are exactly those."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.choices import Snapping
from annotations.formats import grid
from annotations.rows import Row, Windows
from tempo_core.metrics.rows import FieldError
from tests.annotations.formats.made_rows import windows

CASES: list[tuple[Snapping, Windows, float, Windows]] = [
    ("outward", ((0.1, 0.2),), 10, ((0, 2),)),
    ("outward", ((1.9999999, 4.0000001),), 10, ((2, 4),)),
    ("outward", ((2.0, 4.0), (4.0, 6.0)), 10, ((2, 6),)),
    ("outward", ((3.97, 6.006),), 10, ((2, 6),)),
    ("outward", ((3.98, 6.03),), 10, ((4, 8),)),
    ("outward", ((1.99, 2.01),), 10, ((2, 4),)),
    ("outward", ((2.0, 4.1), (5.9, 6.0)), 10, ((2, 6),)),
    ("outward", ((29.9, 31.09),), 31.09, ((28, 30),)),
    ("outward", ((30.2, 31.0),), 31.09, ((28, 30),)),
    ("nearest", ((0.9, 3.1),), 10, ((0, 4),)),
    ("nearest", ((1.0, 3.0),), 10, ((2, 4),)),
    ("nearest", ((2.9, 2.95),), 10, ((2, 4),)),
    ("nearest", ((1.2, 1.6),), 10, ((0, 2),)),
]


@pytest.mark.parametrize(("how", "given_windows", "duration", "expected"), CASES)
def test_snapping_by_hand(how: Snapping, given_windows: Windows, duration: float, expected: Windows) -> None:
    assert grid.snapped(given_windows, duration, how) == expected


@settings(derandomize=True)
@given(st.data(), st.floats(2, 200), st.sampled_from(["outward", "nearest"]))
def test_snapped_windows_lie_on_the_grid_inside_the_video(
    data: st.DataObject, end_s: float, how: Snapping
) -> None:
    windows_on_grid = grid.snapped(data.draw(windows(end_s, least=1)), end_s, how)
    assert windows_on_grid
    assert grid.on_grid(windows_on_grid)
    assert windows_on_grid[0][0] >= 0
    assert windows_on_grid[-1][1] <= grid.clip_count(end_s) * 2
    assert all(after[0] > before[1] for before, after in itertools.pairwise(windows_on_grid))
    clips = grid.covered_clips(windows_on_grid)
    assert list(clips) == sorted(
        {clip for start, end in windows_on_grid for clip in range(int(start // 2), int(end // 2))}
    )


@settings(derandomize=True)
@given(st.data(), st.integers(1, 100).map(lambda clips: clips * 2.0))
def test_outward_snapping_covers_what_was_marked_but_for_half_a_frame(
    data: st.DataObject, end_s: float
) -> None:
    marked = data.draw(windows(end_s, least=1))
    windows_on_grid = grid.snapped(marked, end_s, "outward")
    near_s = grid.NEAR_MS / 1000 + 0.001
    assert all(
        any(start - near_s <= a and b <= end + near_s for start, end in windows_on_grid) for a, b in marked
    )


def test_a_carried_score_comes_from_the_nearest_clip_and_the_earlier_of_two() -> None:
    row = Row(qid="1", query="q", vid="v", relevant_clip_ids=(2, 6), saliency_scores=((0, 0, 0), (4, 4, 4)))
    assert grid.scores_for((1, 4, 5, 6), row, "carry") == (((0, 0, 0), (0, 0, 0), (4, 4, 4), (4, 4, 4)), 3)
    assert grid.scores_for((1, 6), row, "keep+neutral") == (((2, 2, 2), (4, 4, 4)), 1)
    assert grid.scores_for((1, 6), row, "drop") == (None, 0)


def test_scores_are_not_invented_for_a_whole_row() -> None:
    assert grid.scores_for((1,), Row(qid="1", query="q", vid="v"), "keep+neutral") == (None, 0)


def test_a_video_shorter_than_a_clip_is_refused() -> None:
    with pytest.raises(FieldError, match="at least one 2-second clip"):
        grid.needed_duration(Row(qid="1", query="q", vid="v", duration_s=1.5))
