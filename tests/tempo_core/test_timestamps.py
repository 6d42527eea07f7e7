"""Stamps: one width, reversible, and clear refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_core.errors import InputError
from tempo_core.timestamps import distinct_idx, format_stamps


@st.composite
def clocks(draw: st.DrawFn, longest_s: float = 200_000.0) -> tuple[list[float], float]:
    """Frame times at least a tenth apart, and an end."""
    start = draw(st.floats(0, longest_s))
    steps = draw(st.lists(st.floats(0.11, 500.0), min_size=1, max_size=40))
    times = [start]
    for step in steps[:-1]:
        times.append(times[-1] + step)
    return times, times[-1] + steps[-1]


def test_the_documented_format() -> None:
    assert format_stamps([0, 12, 34.25], 60) == ["0000.0", "0012.0", "0034.2", "0060.0"]


@given(clocks())
def test_stamps_have_one_width_and_can_be_read_back(clock: tuple[list[float], float]) -> None:
    times, end_s = clock
    stamps = format_stamps(times, end_s)
    assert len(stamps) == len(times) + 1
    assert len({len(stamp) for stamp in stamps}) == 1
    seconds = [float(stamp) for stamp in stamps]
    assert seconds == sorted(set(seconds))
    assert all(abs(a - b) <= 0.0501 for a, b in zip(seconds[:-1], times, strict=True))


def test_a_video_longer_than_9999_s_widens_every_stamp() -> None:
    stamps = format_stamps([0.0, 9999.9], 10000.0)
    assert stamps == ["00000.0", "09999.9", "10000.0"]
    assert [float(stamp) for stamp in stamps] == [0.0, 9999.9, 10000.0]


def test_an_end_right_after_the_last_frame_gets_the_next_tenth() -> None:
    assert format_stamps([0.0, 59.98], 60.02) == ["0000.0", "0060.0", "0060.1"]


@pytest.mark.parametrize(
    ("times", "end_s", "says"),
    [
        ([0.0, 0.04], 1.0, "at least 0.1 s apart"),
        ([], 1.0, "without sampled frames"),
        ([0.0, float("nan")], 1.0, "finite"),
        ([0.0], float("inf"), "finite"),
        ([-1.0, 0.0], 1.0, "must not be negative"),
        ([1.0, 0.5], 2.0, "must increase"),
        ([0.0, 1.0], 1.0, "end after its last frame"),
    ],
)
def test_broken_clocks_are_refused(times: list[float], end_s: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        format_stamps(times, end_s)


@pytest.mark.parametrize(
    ("times_s", "idx"),
    [
        ([0.0, 0.5, 1.0], [0, 1, 2]),
        ([0.0, 0.04, 1.8], [1, 2]),
        ([0.46, 0.52], [1]),
        ([0.44, 0.46], [0, 1]),
        ([], []),
    ],
)
def test_no_two_of_the_distinct_frames_share_a_stamp(times_s: list[float], idx: list[int]) -> None:
    assert distinct_idx(times_s) == idx
    if idx:
        format_stamps([times_s[place] for place in idx], times_s[-1] + 1)
