"""Marlin-2B (Qwen3.5): Qwen3-VL's stamps, one moment in a short sentence.

Prompt and pixels: Nemo-Station/marlin-cli at 62927d1, src/marlin/contract.py and backend.py, which follow the model's
own code; at most 240 frames as on its model page. Clips over 30 s are cut and joined as in video_processor.py there.
It writes a bare <think> before its answer, and its parser drops a second moment.
"""

from tempo_core.protocols.base import NON_THINKING, AnswerForm, Chunks, Protocol, Sampling, opened

PROTOCOL = Protocol(
    name="marlin",
    title="Marlin",
    model_types=("qwen3_5",),
    sampling=Sampling(
        factor_px=32, max_frames=240, min_pixels=4096, max_pixels=200_704, total_pixels=240 * 200_704 // 2
    ),
    chunks=Chunks(length_s=30.0, overlap_s=5.0, shortest_s=2.0, same_start_s=5.0, same_iou=0.5),
    layout="groups",
    opening=opened("user"),
    stamp="<{} seconds>",
    turns=(
        'Identify the timestamps during which "{query}" takes place. '
        'Output the time range as "From <start> to <end>." (numbers in seconds).',
    ),
    assistant=NON_THINKING,
    answer=AnswerForm(
        opening=("From ",),
        to=(" to ",),
        closing=(".",),
        lead=r"(?:<think>(?:(?:(?!</?think>).)*</think>)?\s*)?",
    ),
    max_new_tokens=64,
    sets=False,
    licence="Apache-2.0 (its page asks for a form)",
    source="github.com/Nemo-Station/marlin-cli, src/marlin/contract.py",
    unverified="How its template opens an answer follows Qwen3.5-2B's; the model's own could not be compared.",
)
