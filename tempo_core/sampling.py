"""Which times and which size to sample: arithmetic without any decoder."""

import math
from collections.abc import Sequence

from tempo_core.errors import InputError

MAX_TIMES = 1_000_000


def round_step_s(duration_s: float, max_frames: int, *, finest: float = 1.0) -> float:
    """The sampling step in seconds: the smallest of 0.5, 1, 2, 4, 8, ... that needs at most `max_frames` frames.

    Never under `finest`. Raises InputError when `max_frames` is not positive, or a length is not a positive number.
    """
    if max_frames < 1:
        raise InputError(f"At least one frame must be sampled; got max_frames={max_frames}. Give 1 or more.")
    for name, value in (("duration_s", duration_s), ("finest", finest)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive number of seconds; got {value}.")
    step = 0.5
    while step < finest or duration_s / step > max_frames:
        step *= 2
    return step


def requested_times(
    end_s: float,
    name: str,
    *,
    step_s: float | None = None,
    fps: float | None = None,
    at: Sequence[float] | None = None,
    max_frames: int | None = None,
) -> list[float]:
    """The times in [0, end_s) to sample, sorted: every `step_s`, `fps` a second, or exactly `at`.

    With none of the three, the step is `round_step_s` of the length for `max_frames` (1 s without). `name` stands for
    the video in messages. Raises InputError for times outside the video, or more of them than `max_frames`.
    """
    if at is not None:
        times = sorted(set(map(float, at)))
        if not times or times[0] < 0 or times[-1] >= end_s:
            outside = [t for t in times if not 0 <= t < end_s] or "none"
            raise InputError(f"Times must lie in [0, {end_s:.3f}), the length of '{name}'; got {outside}.")
    else:
        if fps is not None:
            step_s = 1 / fps
        elif step_s is None:
            step_s = 1.0 if max_frames is None else round_step_s(end_s, max_frames)
        if end_s / step_s > MAX_TIMES:
            raise InputError(
                f"A step of {step_s} s asks for more than {MAX_TIMES} frames of '{name}'. Take a longer one."
            )
        times = [k * step_s for k in range(math.ceil(end_s / step_s)) if k * step_s < end_s]
    if max_frames is not None and len(times) > max_frames:
        raise InputError(
            f"{len(times)} frames of '{name}' were asked for; the most allowed is {max_frames}."
            " Take a longer step, a lower rate, or fewer times."
        )
    return times


def check_request(
    step_s: float | None, fps: float | None, at: Sequence[float] | None, max_frames: int | None
) -> None:
    """Refuse contradictory or senseless requests before a child is started. Raises InputError."""
    requests = [k for k, v in (("step_s", step_s), ("fps", fps), ("at", at)) if v is not None]
    if len(requests) > 1:
        raise InputError(f"{' and '.join(requests)} were given; give one of step_s, fps and at.")
    for key, value in (("step_s", step_s), ("fps", fps)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{key} must be a positive number; got {value}.")
    if max_frames is not None and max_frames < 1:
        raise InputError(f"At least one frame must be sampled; got max_frames={max_frames}. Give 1 or more.")
    for time_s in at or ():
        if not (math.isfinite(time_s) and time_s >= 0):
            raise InputError(f"A time must be a number of seconds, 0 or more; got {time_s}.")


def check_size(size: tuple[int, int] | None, max_pixels: int | None) -> None:
    """Refuse senseless sizes. Raises InputError."""
    if size is not None and max_pixels is not None:
        raise InputError("size and max_pixels were given; give one of them.")
    if size is not None and (len(size) != 2 or min(size) < 1 or max(size) > 8192):
        raise InputError(f"size must be (height, width), each 1 to 8192 pixels; got {size}.")
    if max_pixels is not None and max_pixels < 1:
        raise InputError(f"max_pixels must be positive; got {max_pixels}.")


def fit_size(
    shown_size: tuple[int, int], size: Sequence[int] | None, max_pixels: int | None
) -> tuple[int, int]:
    """(height, width) of the pictures to hand back: `size` as it is, or the shown size scaled down to `max_pixels`."""
    if size is not None:
        return int(size[0]), int(size[1])
    height, width = shown_size
    if max_pixels is None or height * width <= max_pixels:
        return height, width
    scale = math.sqrt(max_pixels / (height * width))
    return max(1, math.floor(height * scale)), max(1, math.floor(width * scale))
