"""TimeLens2 (Qwen3-VL): Qwen3-VL's own stamps, the answer as a JSON array of [start, end] pairs.

Prompt: MCG-NJU/TimeLens2 at a5ce450, grpo/configs/data/timelens2.json (the same words in
evaluation/vlmeval/dataset/vidi_vue_tr.py); frames as in sft/configs/data/timelens2_sft.json, pixels as on the model
page. An empty array is well formed and is read as a refusal, but its reward counts it as a failure
(grpo/timelens/rewards/metrics.py), so that no checkpoint was taught to give it, and it is never offered. Its own
parser turns spans that run backwards around; here they are no answer.
"""

from tempo_core.moments import Moment
from tempo_core.protocols.base import AnswerForm, Protocol, Sampling, Timeline, opened, timelens_query


class TimeLens2Form(AnswerForm):
    """A JSON array, which may be empty."""

    __slots__ = ()

    def parse(self, text: str, timeline: Timeline, end_s: float) -> list[Moment]:
        return [] if "".join(text.split()) == "[]" else AnswerForm.parse(self, text, timeline, end_s)


def json_seconds(time_s: float) -> tuple[str, ...]:
    """A time in tenths as JSON may write it: 10.0 also as 10."""
    text = f"{time_s:.1f}"
    return (text, text[:-2]) if text.endswith(".0") else (text,)


PROTOCOL = Protocol(
    name="timelens2",
    title="TimeLens2",
    model_types=("qwen3_vl",),
    sampling=Sampling(
        factor_px=32, max_frames=2048, min_pixels=32**2, max_pixels=480**2, total_pixels=128_000 * 32**2
    ),
    layout="groups",
    opening=opened("user"),
    stamp="<{} seconds>",
    turns=(
        "You are given a video.\n"
        "Task: temporal retrieval.\n"
        'Given the query: "{query}", return ALL time spans (in seconds) where the query is relevant.\n'
        "Output format MUST be a JSON array of [start, end] pairs, e.g. [[0, 3.5], [10, 12]].\n",
    ),
    clean=timelens_query,
    spell=json_seconds,
    answer=TimeLens2Form(opening=("[[",), to=(", ",), next=("], [",), closing=("]]",)),
    max_new_tokens=1024,
    sets=True,
    licence="Apache-2.0",
    source="github.com/MCG-NJU/TimeLens2, grpo/configs/data/timelens2.json",
)
