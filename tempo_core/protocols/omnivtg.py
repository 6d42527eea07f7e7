"""OmniVTG-7B (Qwen2.5-VL): Qwen3-VL's stamps written by hand, a thought from coarse to fine, then one moment.

Prompt and numbers: oceanflowlab/OmniVTG at 7d67b82, demo.py, whose "secific" is the authors' (the evaluation writes
"specific"). Each unit is a video of its own, so that M-RoPE sees no time. Its parser takes numbers wherever they are.
"""

from tempo_core.protocols.base import HELPFUL, THOUGHT, AnswerForm, Protocol, Sampling, Thinking

PROTOCOL = Protocol(
    name="omnivtg",
    title="OmniVTG",
    model_types=("qwen2_5_vl",),
    sampling=Sampling(factor_px=28, min_pixels=16 * 28**2, total_pixels=3584 * 28**2),
    layout="groups",
    opening=HELPFUL,
    stamp="<{} seconds>",
    turns=(
        "You are given a video as a sequence of interleaved timestamps and frames. Locate the precise timestamps "
        'for the event: "{query}".\n\n'
        "Use a coarse-to-fine reasoning: first state the broad segment where related content may occur, then refine "
        "to localize the secific query. Every reasoning step must include timestamps in the form xx.x seconds.\n\n"
        "Wrap the step-by-step reasoning in <think>...</think>. After that, output only the final answer in this "
        "exact format inside <answer>...</answer>: From start_time seconds to end_time seconds\n"
        "For example:\n<think>\n"
        'For the query "a woman opens the door", I find that the woman appears in the video from 12.5 seconds to 20.0 '
        "seconds. Zooming in further, she opens the door from 14.2 seconds to 14.7 seconds.\n"
        "</think>\n<answer>\nFrom 14.2 seconds to 14.7 seconds\n</answer>",
    ),
    answer=AnswerForm(
        opening=("<answer>\nFrom ",), to=(" seconds to ",), closing=(" seconds\n</answer>",), lead=THOUGHT
    ),
    thinking=Thinking(max_tokens=1024),
    sets=False,
    licence="CC BY-NC 4.0",
    source="github.com/oceanflowlab/OmniVTG, demo.py",
)
