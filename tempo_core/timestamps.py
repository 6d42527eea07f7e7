"""ETA stamps: true presentation times as text of one fixed width, "0012.0", and back.

Every stamp of a video has the same number of characters, hence of tokens, whatever the time (Tempo-R0's
explicit timestamp modality; the format is decided here). One stamp more than there are frames marks the end
of the video, because a moment ends at the stamp of the first frame after it.
"""

import math
from collections.abc import Iterable

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
    times = [float(time_s) for time_s in times_s]
    _check_times(times, float(end_s))
    tenths = [round(time_s / RESOLUTION_S) for time_s in times]
    for idx in range(1, len(tenths)):
        if tenths[idx] <= tenths[idx - 1]:
            raise InputError(
                f"Frames {idx - 1} and {idx} at {times[idx - 1]:.3f} s and {times[idx]:.3f} s would share "
                f"the stamp {tenths[idx] / 10:.1f}: frames must be at least {RESOLUTION_S} s apart. Sample "
                "at most 10 frames a second."
            )
    tenths.append(max(round(float(end_s) / RESOLUTION_S), tenths[-1] + 1))
    digits = max(MIN_DIGITS, len(str(tenths[-1] // 10)))
    return [f"{tenth // 10:0{digits}d}.{tenth % 10}" for tenth in tenths]


def _check_times(times_s: list[float], end_s: float) -> None:
    """Refuse what is not a clock: nothing, not finite, before zero, out of order, or no room for the end."""
    if not times_s:
        raise InputError("A video without sampled frames has no stamps. Sample at least one frame.")
    if not all(math.isfinite(time_s) for time_s in [*times_s, end_s]):
        raise InputError(
            "Frame times must be finite seconds; got "
            f"{next(t for t in [*times_s, end_s] if not math.isfinite(t))}."
        )
    if times_s[0] < 0:
        raise InputError(
            f"Frame times start at {times_s[0]} s; they must not be negative. Shift them so that the video "
            "starts at 0."
        )
    for idx in range(1, len(times_s)):
        if times_s[idx] <= times_s[idx - 1]:
            raise InputError(
                f"Frame times must increase; frame {idx} is at {times_s[idx]} s after frame {idx - 1} at "
                f"{times_s[idx - 1]} s."
            )
    if end_s <= times_s[-1]:
        raise InputError(
            f"The video must end after its last frame; got an end of {end_s} s and a frame at {times_s[-1]} "
            "s."
        )
