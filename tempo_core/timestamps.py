"""ETA stamps: true presentation times as text of one fixed width, "0012.0", and back.

Every stamp of a video has the same number of characters, hence of tokens, whatever the time (Tempo-R0's
explicit timestamp modality; the format is decided here). One stamp more than there are frames marks the end
of the video, because a moment ends at the stamp of the first frame after it.
"""

import math
from collections.abc import Iterable, Sequence

from tempo_core.errors import InputError

RESOLUTION_S = 0.1
"""A stamp names a tenth of a second; frames closer together than that cannot be told apart."""

MIN_DIGITS = 4
"""Digits before the point; more, for the whole video, when it lasts longer than 9,999.9 s."""


def format_stamps(times_s: Iterable[float], end_s: float) -> list[str]:
    """The T frame times and the end of the video as T + 1 texts of one width.

    `times_s` must be finite, not negative, strictly increasing and at least about 0.1 s apart, `end_s` larger than the
    last of them; InputError otherwise. An end that would round to the last frame's stamp gets the next tenth.
    """
    times, end_s = [float(time_s) for time_s in times_s], float(end_s)
    if not times:
        raise InputError("A video without sampled frames has no stamps. Sample at least one frame.")
    for time_s in (*times, end_s):
        if not math.isfinite(time_s):
            raise InputError(f"Frame times must be finite seconds; got {time_s}.")
    if times[0] < 0:
        raise InputError(
            f"Frame times start at {times[0]} s; they must not be negative. Shift them so that the video starts at 0."
        )
    tenths = [round(time_s / RESOLUTION_S) for time_s in times]
    for idx in range(1, len(times)):
        before_s, time_s = times[idx - 1], times[idx]
        if time_s <= before_s:
            raise InputError(
                f"Frame times must increase; frame {idx} is at {time_s} s after frame {idx - 1} at {before_s} s."
            )
        if tenths[idx] <= tenths[idx - 1]:
            raise InputError(
                f"Frames {idx - 1} and {idx} at {before_s:.3f} s and {time_s:.3f} s would share the stamp "
                f"{tenths[idx] / 10:.1f}: frames must be at least {RESOLUTION_S} s apart. Sample at most 10 frames a "
                "second."
            )
    if end_s <= times[-1]:
        raise InputError(
            f"The video must end after its last frame; got an end of {end_s} s and a frame at {times[-1]} s."
        )
    tenths.append(max(round(end_s / RESOLUTION_S), tenths[-1] + 1))
    digits = max(MIN_DIGITS, len(str(tenths[-1] // 10)))
    return [f"{tenth // 10:0{digits}d}.{tenth % 10}" for tenth in tenths]


def distinct_idx(times_s: Sequence[float]) -> list[int]:
    """Which of the frames to keep so that no two have one stamp: of neighbours that share it, the later.

    A sampled frame is on the screen until the next one is, so the earlier of the two was shown for under 0.1 s.
    """
    tenths = [round(time_s / RESOLUTION_S) for time_s in times_s]
    return [idx for idx, tenth in enumerate(tenths) if tenths[idx + 1 : idx + 2] != [tenth]]
