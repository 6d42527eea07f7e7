"""Qwen2.5-VL (arXiv 2502.13923): Qwen2-VL with window attention in most of the tower's layers, and M-RoPE time in
seconds.

A video block's temporal positions are seconds times `tokens_per_second`, rounded down, from its first group on. True
times of groups are used; on an even grid they give what `second_per_grid_ts` gives. Text after a block stands after
everything in it, as in Qwen2-VL (see there).
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from tempo_core.families.base import Family, Windows, configuration, run_blocks
from tempo_core.vision import MERGE

_SECOND_ROUNDING = 1e-6
"""Added before rounding down, so that 0.3 s x 10 is 3 whatever the last bit of the product is."""


_TEXT = {
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}
_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "tokens_per_second": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}


class Qwen25VL(Family):
    model_type = "qwen2_5_vl"
    title = "Qwen2.5-VL"
    class_name = "Qwen2_5_VLForConditionalGeneration"
    published: ClassVar = {
        "Qwen2.5-VL-3B-Instruct": configuration(
            _TEXT,
            _VISION,
            tied=True,
            hidden_size=2048,
            intermediate_size=11008,
            num_hidden_layers=36,
            num_attention_heads=16,
            num_key_value_heads=2,
            vocab_size=151936,
        ),
        "Qwen2.5-VL-7B-Instruct": configuration(
            _TEXT,
            _VISION,
            tied=False,
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
            vocab_size=152064,
        ),
    }

    def run_tower(self, visual: Any, hidden: Tensor, grid: tuple[int, int]) -> Tensor:
        windows = attention_windows(grid, visual.window_size // visual.patch_size, hidden.device)
        return run_blocks(visual, hidden, grid, windows=windows)

    def temporal_positions(self, config: Any, group_times_s: Sequence[float]) -> tuple[int, ...]:
        rate = config.vision_config.tokens_per_second
        # As trained: the first group is 0 whenever it is shown, and answers count from it (`Timeline.zero_s`).
        return tuple(
            math.floor((time_s - group_times_s[0]) * rate + _SECOND_ROUNDING) for time_s in group_times_s
        )

    def position_step_s(self, config: Any) -> float | None:
        return 1 / float(config.vision_config.tokens_per_second)


def attention_windows(grid: tuple[int, int], side: int, device: Any) -> Windows:
    """The windows of `side` x `side` patches of a grid (rows, columns), those of equal length together.

    Windows at the right and lower edge are smaller. Indices are those of patches in the order of the 2 x 2 merging.
    """
    rows, columns = grid
    token_rows = torch.arange(rows // MERGE)[:, None].expand(-1, columns // MERGE)
    token_columns = torch.arange(columns // MERGE)[None].expand(rows // MERGE, -1)
    # the window of each token [rows / 2, columns / 2], and of its four patches
    window_of = token_rows // (side // MERGE) * columns + token_columns // (side // MERGE)
    window_of = window_of.flatten().repeat_interleave(MERGE * MERGE)
    by_length: dict[int, list[Tensor]] = {}
    for window in window_of.unique():
        patches = (window_of == window).nonzero()[:, 0]
        by_length.setdefault(len(patches), []).append(patches)
    return [torch.stack(patches).to(device) for patches in by_length.values()]


FAMILY = Qwen25VL()
