"""UniTime (LoRA on Qwen2-VL): a stamp in words before each two-frame group, and an answer in the stamps' own times.

Prompt and numbers: Lzq5/UniTime at d889a71, inference.py, feature.py, collators/qwen_vision_process.py, and the
processor in models/qwen2_vl.py; answers as in collators/qwen2_vl.py. It spends its whole budget on every video: the
size is fitted to two frames a second, then as many frames are taken as still fit. Over 128 s it looks twice
(`tempo_core.passes`): at the whole clip in segments of pooled features, 32 s long while two frames a second fit, and
then at the window from the first segment that it names to the last one's end. Its parsers take all numbers.
"""

import math
from typing import TYPE_CHECKING

from tempo_core.protocols.base import (
    HELPFUL,
    AnswerForm,
    FirstPass,
    FramePlan,
    Protocol,
    Sampling,
    fit_pixels,
    frame_range,
    spread_times,
)

if TYPE_CHECKING:
    from tempo_core.video import VideoInfo


class UniTimeSampling(Sampling):
    """Fills the budget with frames."""

    __slots__ = ()

    def most_units(self, duration_s: float) -> tuple[int, int]:
        return self.total_pixels // self.min_pixels, self.total_pixels // self.factor_px**2

    def plan(self, info: "VideoInfo", window_s: tuple[float, float] | None = None) -> FramePlan:
        first, last = frame_range(info, window_s)
        total = last - first + 1
        seconds = total / float(info.frame_rate) if info.frame_rate else info.duration_s
        count = max(2, round(int(seconds * self.fps) / 2) * 2)
        high = max(
            min(768 * 28**2, self.total_pixels / count * self.frames_per_unit), int(self.min_pixels * 1.05)
        )
        size = fit_pixels(info.height, info.width, factor=28, low=self.min_pixels, high=int(high))
        # Its own code repeats frames of a short clip until the budget is full; no frame is shown twice here.
        count = min(self.total_pixels // (size[0] * size[1]) * self.frames_per_unit, max(2, total // 2 * 2))
        count = min(count, max(1, total))
        tokens = math.ceil(count / self.frames_per_unit) * size[0] * size[1] // 28**2
        times_s = spread_times(info, count, first=first, last=last)
        return FramePlan(times_s=times_s, size_px=size, budget_tokens=tokens)


def stamp_time(first_s: float, last_s: float) -> str:
    """The mean of two times in tenths, itself in tenths."""
    return f"{round((round(first_s, 1) + round(last_s, 1)) / 2, 1)}"


QUESTION = "Query:{query}\nAnswer: "

PROTOCOL = Protocol(
    name="unitime",
    title="UniTime",
    model_types=("qwen2_vl",),
    sampling=UniTimeSampling(factor_px=28, min_pixels=128 * 28**2, total_pixels=16384 * 28**2),
    layout="groups",
    opening=HELPFUL,
    stamp="timestamp: {} seconds; feature: ",
    stamp_time=stamp_time,
    turns=(
        "This is a sequence interleaved with timestamps and frames. Your task is to identify the temporal window "
        "(start and end timestamps) when the given query appears.",
        QUESTION,
    ),
    first_pass=FirstPass(
        over_s=128.0,
        segment_s=32.0,
        factor_px=28,
        tower_min_pixels=128 * 28**2,
        tower_max_pixels=768 * 28**2,
        min_pixels=16 * 28**2,
        total_pixels=16384 * 28**2,
        most_units=1024,
        turns=(
            "This is a sequence interleaved with timestamps and frames. Your task is to identify the specific "
            "timestamp(s) when the given query appears.",
            QUESTION,
        ),
        answer=AnswerForm(opening=(), to=(), next=(" seconds, ",), closing=(" seconds.",)),
    ),
    self_opened=True,
    marks="units",
    answer=AnswerForm(
        opening=("From ",), to=(" seconds to ",), next=(" seconds, from ",), closing=(" seconds.",)
    ),
    max_new_tokens=128,
    sets=True,
    licence="not stated",
    source="github.com/Lzq5/UniTime, inference.py",
)
