"""Any plain Qwen3.5: asked as plain Qwen3-VL is, with the answer opened as its template does without a thought."""

from dataclasses import replace

from tempo_core.protocols import timelens_8b
from tempo_core.protocols.base import NON_THINKING

PROTOCOL = replace(
    timelens_8b.PROTOCOL,
    name="qwen3_5",
    title="Qwen3.5",
    model_types=("qwen3_5",),
    assistant=NON_THINKING,
    sets=False,
    licence="the checkpoint's own",
    unverified="Nobody published how Qwen3.5 is best asked for moments.",
)
