import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_core.errors import InputError
from tempo_core.sampling import check_request, check_size, fit_size, requested_times, round_step_s


@pytest.mark.parametrize(
    ("duration_s", "max_frames", "finest", "step_s"),
    [
        (60, 60, 1.0, 1),
        (60, 59, 1.0, 2),
        (10, 150, 1.0, 1),
        (10, 150, 0.5, 0.5),
        (10, 150, 0.1, 0.5),
        (3600, 150, 1.0, 32),
        (150, 150, 1.0, 1),
        (150.2, 150, 1.0, 2),
        (60, 60, 3.0, 4),
    ],
)
def test_round_step(duration_s: float, max_frames: int, finest: float, step_s: float) -> None:
    assert round_step_s(duration_s, max_frames, finest=finest) == step_s


@given(st.floats(0.01, 1e5), st.integers(1, 2000))
def test_a_round_step_is_the_smallest_that_fits(duration_s: float, max_frames: int) -> None:
    step = round_step_s(duration_s, max_frames)
    assert duration_s / step <= max_frames
    assert step == 1 or duration_s / (step / 2) > max_frames
    assert math.log2(step).is_integer()


@given(st.floats(0.05, 500), st.floats(0.05, 50))
def test_requested_times_are_a_grid_inside_the_video(end_s: float, step_s: float) -> None:
    times = requested_times(end_s, "clip", step_s=step_s)
    assert times[0] == 0
    assert times == [k * step_s for k in range(len(times))]
    assert times[-1] < end_s <= len(times) * step_s + 1e-9


def test_requested_times_by_rate_by_list_and_by_default() -> None:
    assert requested_times(2.0, "clip", fps=2) == [0, 0.5, 1, 1.5]
    assert requested_times(2.0, "clip", at=[1.5, 0, 1.5]) == [0, 1.5]
    assert requested_times(3.0, "clip") == [0, 1, 2]
    assert requested_times(10.0, "clip", max_frames=5) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"at": [2.0]}, r"Times must lie in \[0, 2.000\), the length of 'clip'; got \[2.0\]"),
        ({"at": []}, "got none"),
        ({"step_s": 0.5, "max_frames": 3}, "4 frames of 'clip' were asked for; the most allowed is 3"),
        ({"step_s": 1e-9}, "more than 1000000 frames"),
    ],
)
def test_requested_times_outside_or_too_many(given_: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        requested_times(2.0, "clip", **given_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ((1.0, 2.0, None, None), "step_s and fps were given"),
        ((0.0, None, None, None), "step_s must be a positive number; got 0.0"),
        ((None, math.inf, None, None), "fps must be a positive number"),
        ((None, None, [math.nan], None), "a number of seconds, 0 or more; got nan"),
        ((None, None, [-1.0], None), "0 or more; got -1.0"),
        ((None, None, None, 0), "At least one frame"),
    ],
)
def test_senseless_requests(
    given_: tuple[float | None, float | None, list[float] | None, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_request(*given_)


def test_senseless_sizes_and_lengths() -> None:
    for size, pixels in (((0, 5), None), ((9000, 5), None), ((5, 5), 25), (None, 0)):
        with pytest.raises(InputError):
            check_size(size, pixels)
    for length in (0.0, math.nan, -1.0):
        with pytest.raises(InputError):
            round_step_s(length, 5)
    with pytest.raises(InputError):
        round_step_s(5, 0)


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 10**6))
def test_fitted_sizes_keep_to_the_pixels_and_the_shape(height: int, width: int, pixels: int) -> None:
    fitted = fit_size((height, width), None, pixels)
    assert min(fitted) >= 1
    if min(fitted) > 1:
        assert fitted[0] * fitted[1] <= pixels
    if min(fitted) > 40:
        assert fitted[0] / fitted[1] == pytest.approx(height / width, rel=0.06)
    assert fit_size((height, width), (3, 4), None) == (3, 4)
