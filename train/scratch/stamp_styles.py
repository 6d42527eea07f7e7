"""How a context tells the time: ETA's interleaved stamps of one width, and three ways without one of its ideas.

`interleaved` is what ships. The others are controls for the ablation: `none` gives no time at all, `unpadded` writes
"12.0" for "0012.0", `once` lists all stamps before the first frame instead of one before each.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from tempo_core.protocols.base import IM_START, IMAGE_PAD, VISION_END, VISION_START, plain_ids, special_id
from train.scratch.prompt import context_ids

STYLES = ("interleaved", "none", "unpadded", "once")


def written(stamps: Sequence[str], style: str) -> list[str]:
    """The stamps as the style writes them, in contexts and in answers."""
    return [f"{float(stamp):.1f}" for stamp in stamps] if style == "unpadded" else list(stamps)


def styled_context(
    tokenizer: PreTrainedTokenizerBase, stamps: Sequence[str], tokens: Sequence[int], style: str
) -> list[int]:
    """The ids of a context with T frames of `tokens` and T + 1 `stamps`, written in a style of STYLES."""
    if style in ("interleaved", "unpadded"):
        return context_ids(tokenizer, written(stamps, style), tokens)
    opened, pad, closed = (special_id(tokenizer, token) for token in (VISION_START, IMAGE_PAD, VISION_END))
    ids = [special_id(tokenizer, IM_START), *plain_ids(tokenizer, "user\n")]
    if style == "once":
        ids += [
            token for stamp in stamps for token in (*plain_ids(tokenizer, stamp), *plain_ids(tokenizer, " "))
        ]
    for count in tokens:
        ids += [opened, *[pad] * int(count), closed]
    return [*ids, *plain_ids(tokenizer, "\n")]
