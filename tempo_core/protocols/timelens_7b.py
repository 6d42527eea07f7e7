"""TimeLens-7B (Qwen2.5-VL): a stamp before every frame, frames as still images.

Prompt and pixels: TencentARC/TimeLens at 5d90c06, evaluation/utils.py. How its stamps are written and that each frame
is a still image at one frame a second: arXiv 2512.14698, appendix C. Its processor stands on its model page only;
public ports of it take two frames a second and show the first of each pair twice, which is the tower's still image.
"""

from tempo_core.protocols import timelens_8b
from tempo_core.protocols.base import HELPFUL, Protocol, Sampling, timelens_query

PROTOCOL = Protocol(
    name="timelens_7b",
    title="TimeLens-7B",
    model_types=("qwen2_5_vl",),
    sampling=Sampling(
        factor_px=28, min_pixels=64 * 28**2, total_pixels=14336 * 28**2, frames_per_unit=1, stride=2
    ),
    layout="frames",
    opening=HELPFUL,
    stamp="{} seconds",
    turns=(
        "You are given a video with multiple frames. "
        "The numbers before each video frame indicate its sampling timestamp (in seconds). "
        + timelens_8b.PROMPT,
    ),
    clean=timelens_query,
    answer=timelens_8b.FORM,
    max_new_tokens=512,
    sets=True,
    licence=timelens_8b.PROTOCOL.licence,
    source="github.com/TencentARC/TimeLens, evaluation/utils.py; arXiv 2512.14698, appendix C",
    unverified="The text of its stamps follows the paper; the processor on its model page could not be compared.",
)
