"""TimeLens-8B, and any plain Qwen3-VL: Qwen3-VL's own stamps, the answer in a sentence.

Prompt and numbers: TencentARC/TimeLens at 5d90c06, evaluation/utils.py and scripts/eval_timelens_bench.sh; several
moments as in training/data/grounding.py. Its parser takes the first pair of numbers anywhere, so that "2 cats and 1
dog" is a moment.
"""

from tempo_core.protocols.base import AnswerForm, Protocol, Sampling, opened, timelens_query

PROMPT = (
    "Please find the visual event described by the sentence '{query}', determining its starting and ending times. "
    "The format should be: 'The event happens in <start time> - <end time> seconds'."
)
FORM = AnswerForm(
    opening=("The event happens in ",), to=(" - ",), next=(" seconds, ",), closing=(" seconds.",)
)

PROTOCOL = Protocol(
    name="timelens_8b",
    title="TimeLens-8B",
    model_types=("qwen3_vl",),
    sampling=Sampling(factor_px=32, min_pixels=64 * 32**2, total_pixels=14336 * 32**2),
    layout="groups",
    opening=opened("user"),
    stamp="<{} seconds>",
    turns=(PROMPT,),
    clean=timelens_query,
    answer=FORM,
    max_new_tokens=512,
    sets=True,
    licence="TimeLens' own: academic use, not in the European Union",
    source="github.com/TencentARC/TimeLens, evaluation/utils.py",
)
