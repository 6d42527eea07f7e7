"""UniTime (LoRA on Qwen2-VL): a stamp in words before each two-frame group, and an answer in the stamps' own times.

Prompt and numbers: Lzq5/UniTime at d889a71, inference.py, collators/qwen_vision_process.py, and the processor in
models/qwen2_vl.py; answers as in collators/qwen2_vl.py. It spends its whole budget on every video: the size is fitted
to two frames a second, then as many frames are taken as still fit. Over 128 s its authors look twice (segments of 32
frames, then the window); here every video is looked at once, at fewer frames a second. Its parser pairs up all
numbers.
"""

import math
from typing import TYPE_CHECKING

from tempo_core.protocols.base import (
    HELPFUL,
    AnswerForm,
    FramePlan,
    Protocol,
    Sampling,
    fit_pixels,
    spread_times,
)

if TYPE_CHECKING:
    from tempo_core.video import VideoInfo


class UniTimeSampling(Sampling):
    """Fills the budget with frames."""

    __slots__ = ()

    def plan(self, info: "VideoInfo") -> FramePlan:
        seconds = info.frame_count / float(info.frame_rate) if info.frame_rate else info.duration_s
        count = max(2, round(int(seconds * self.fps) / 2) * 2)
        high = max(
            min(768 * 28**2, self.total_pixels / count * self.frames_per_unit), int(self.min_pixels * 1.05)
        )
        size = fit_pixels(info.height, info.width, factor=28, low=self.min_pixels, high=int(high))
        # Its own code repeats frames of a short clip until the budget is full; no frame is shown twice here.
        count = min(
            self.total_pixels // (size[0] * size[1]) * self.frames_per_unit, max(2, info.frame_count // 2 * 2)
        )
        count = min(count, max(1, info.frame_count))
        tokens = math.ceil(count / self.frames_per_unit) * size[0] * size[1] // 28**2
        return FramePlan(times_s=spread_times(info, count), size_px=size, budget_tokens=tokens)


def stamp_time(first_s: float, last_s: float) -> str:
    """The mean of two times in tenths, itself in tenths."""
    return f"{round((round(first_s, 1) + round(last_s, 1)) / 2, 1)}"


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
        "Query:{query}\nAnswer: ",
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
