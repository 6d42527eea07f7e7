"""Time-R1 (Qwen2.5-VL): no stamps, M-RoPE carries the time; a thought, then one moment in answer tags.

Prompt and numbers: xiaomi-research/time-r1 at 7f2b594, demo.py, with its line feeds before and behind; 1,024 new
tokens as in scripts/test.sh. Its training (src/time_r1/rl/timer1_trainer.py) wrote the words before the video and
without those line feeds. Its parser takes the last "X to Y" anywhere, so that a remark behind the answer wins.
"""

from tempo_core.protocols.base import HELPFUL, THOUGHT, AnswerForm, Protocol, Sampling, Thinking, decimals

SAMPLING = Sampling(factor_px=28, min_pixels=16 * 28**2, total_pixels=3584 * 28**2)

PROTOCOL = Protocol(
    name="time_r1",
    title="Time-R1",
    model_types=("qwen2_5_vl",),
    sampling=SAMPLING,
    layout="video",
    opening=HELPFUL,
    turns=(
        '\nTo accurately pinpoint the event "{query}" in the video, determine the precise time period of the event.'
        "\n\nOutput your thought process within the <think> </think> tags, including analysis with either specific "
        "time ranges (xx.xx to xx.xx) in <timestep> </timestep> tags.\n\n"
        "Then, provide the start and end times (in seconds, precise to two decimal places) in the format "
        '"start time to end time" within the <answer> </answer> tags. For example: "12.54 to 17.83".\n',
    ),
    spell=decimals(2),
    answer=AnswerForm(opening=("<answer>",), to=(" to ",), closing=("</answer>",), lead=THOUGHT),
    thinking=Thinking(max_tokens=1024),
    sets=False,
    licence="Apache-2.0",
    source="github.com/xiaomi-research/time-r1, demo.py",
)
