"""TVG-R1 and TVG_Coldstart (Qwen2.5-VL): no stamps; a thought, then one moment in time tags.

Prompt: zjuruizhechen/TVG-R1 at 793b3dc, VideoMind/videomind/constants.py (GROUNDER_PROMPT), asked as in
VideoMind/videomind/eval/infer_auto2.py; frames, pixels and 2,048 new tokens as it was trained, EasyR1/examples/
TVG_R1.sh. It was evaluated with 32 frames. Its parser falls back on the first two numbers of the text.
"""

from tempo_core.protocols.base import HELPFUL, THOUGHT, AnswerForm, Protocol, Sampling, Thinking

PROTOCOL = Protocol(
    name="tvg_r1",
    title="TVG-R1",
    model_types=("qwen2_5_vl",),
    sampling=Sampling(n_frames=64, factor_px=28, min_pixels=3136, total_pixels=1_605_632),
    layout="video",
    opening=HELPFUL,
    turns=(
        "You FIRST think about the reasoning process in the mind and finally determine the precise time period "
        "related to the query. The reasoning process MUST BE enclosed within <think> </think> tags. The specific "
        "time period MUST BE in the format [start time, end time] in seconds enclosed within <time> </time> tags. "
        "For example, <think>the reasoning process</think> <time>[5.2, 10.4]</time>. "
        "Now I give you the query: '{query}'. ",
    ),
    answer=AnswerForm(opening=("<time>[",), to=(", ",), closing=("]</time>",), lead=THOUGHT),
    thinking=Thinking(glue=" ", max_tokens=2048),
    sets=False,
    licence="not stated",
    source="github.com/zjuruizhechen/TVG-R1, VideoMind/videomind/constants.py",
)
