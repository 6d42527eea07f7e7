"""Any plain Qwen2.5-VL: no stamps, M-RoPE carries the time; TimeLens' sentence.

As TencentARC/TimeLens at 5d90c06 evaluates it: evaluation/utils.py and scripts/eval_timelens_bench.sh.
"""

from tempo_core.protocols import timelens_8b
from tempo_core.protocols.base import HELPFUL, Protocol, Sampling, timelens_query

PROTOCOL = Protocol(
    name="qwen2_5_vl",
    title="Qwen2.5-VL",
    model_types=("qwen2_5_vl",),
    sampling=Sampling(factor_px=28, min_pixels=64 * 28**2, total_pixels=14336 * 28**2),
    layout="video",
    opening=HELPFUL,
    turns=(timelens_8b.PROMPT,),
    clean=timelens_query,
    answer=timelens_8b.FORM,
    max_new_tokens=512,
    sets=False,
    licence="the checkpoint's own",
    source="github.com/TencentARC/TimeLens, evaluation/utils.py",
)
