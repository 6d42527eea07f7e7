"""UniTime (LoRA on Qwen2-VL): a stamp in words before each two-frame group, and an answer in the stamps' own times.

Prompt and numbers: Lzq5/UniTime at d889a71, inference.py, feature.py, collators/qwen_vision_process.py, and the
processor in models/qwen2_vl.py; answers as in collators/qwen2_vl.py. It spends its whole budget on every video: the
size is fitted to two frames a second, then as many frames are taken as still fit. Over 128 s it looks twice
(`tempo_core.passes`): at the whole clip in segments of pooled features, 32 s long while two frames a second fit, and
then at the window from the first segment that it names to the last one's end. Its parsers take all numbers.
"""

from tempo_core.protocols.base import HELPFUL, AnswerForm, FirstPass, FullSampling, Protocol


def stamp_time(first_s: float, last_s: float) -> str:
    """The mean of two times in tenths, itself in tenths."""
    return f"{round((round(first_s, 1) + round(last_s, 1)) / 2, 1)}"


QUESTION = "Query:{query}\nAnswer: "

PROTOCOL = Protocol(
    name="unitime",
    title="UniTime",
    model_types=("qwen2_vl",),
    sampling=FullSampling(factor_px=28, min_pixels=128 * 28**2, total_pixels=16384 * 28**2),
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
