"""Qwen3-VL (arXiv 2511.21631): 16-px patches, learned positions in the tower, and features of earlier tower layers
that are added to the language model's first layers (deepstack). Time is text before each group of two frames.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from tempo_core.families.base import Family, configuration, run_blocks
from tempo_core.vision import MERGE, Normaliser

HALF = (0.5, 0.5, 0.5)

_TEXT = {
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 262144,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5e6,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    },
}
_SMALL_TOWER = {
    "depth": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_heads": 16,
    "deepstack_visual_indexes": [5, 11, 17],
}
_LARGE_TOWER = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_heads": 16,
    "deepstack_visual_indexes": [8, 16, 24],
}


class Qwen3VL(Family):
    model_type = "qwen3_vl"
    title = "Qwen3-VL"
    class_name = "Qwen3VLForConditionalGeneration"
    normaliser = Normaliser(mean=HALF, std=HALF, patch_px=16)
    published: ClassVar = {
        "Qwen3-VL-2B-Instruct": configuration(
            _TEXT,
            _SMALL_TOWER,
            tied=True,
            hidden_size=2048,
            intermediate_size=6144,
            num_hidden_layers=28,
            num_attention_heads=16,
        ),
        "Qwen3-VL-4B-Instruct": configuration(
            _TEXT,
            _SMALL_TOWER,
            tied=True,
            hidden_size=2560,
            intermediate_size=9728,
            num_hidden_layers=36,
            num_attention_heads=32,
        ),
        "Qwen3-VL-8B-Instruct": configuration(
            _TEXT,
            _LARGE_TOWER,
            tied=False,
            hidden_size=4096,
            intermediate_size=12288,
            num_hidden_layers=36,
            num_attention_heads=32,
        ),
    }

    def run_tower(self, visual: Any, hidden: Tensor, grid: tuple[int, int]) -> Tensor:
        mergers = dict(zip(visual.deepstack_visual_indexes, visual.deepstack_merger_list, strict=True))
        hidden = hidden + learned_positions(visual, grid).to(hidden.dtype)
        return run_blocks(visual, hidden, grid, deepstack=mergers)

    def features(self, output: Any) -> Tensor:
        stacked = [torch.cat(list(feature)) for feature in output.deepstack_features]
        return torch.cat([torch.cat(list(output.pooler_output)), *stacked], dim=-1)

    def encoder_outputs(self, visual_tokens: Tensor, width: int) -> Any:
        from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

        tokens, *features = visual_tokens.split(width, dim=-1)
        pooled: Any = (tokens,)
        stacked: Any = [(feature,) for feature in features]
        return BaseModelOutputWithDeepstackFeatures(pooler_output=pooled, deepstack_features=stacked)

    def language_inputs(self, is_visual: Tensor, features: Tensor, width: int) -> dict[str, Any]:
        return {
            "visual_pos_masks": is_visual,
            "deepstack_visual_embeds": list(features.split(width, dim=-1)),
        }

    def token_numbers(self, config: Any) -> int:
        return super().token_numbers(config) * (1 + len(config.vision_config.deepstack_visual_indexes))


def learned_positions(visual: Any, grid: tuple[int, int]) -> Tensor:
    """The tower's square table of positions at a grid (rows, columns) of patches: [P, D]."""
    indices, weights = get_vision_interpolation_indices_and_weights(
        torch.tensor([[1, *grid]], device=visual.pos_embed.weight.device),
        num_grid_per_side=visual.num_grid_per_side,
        mode=visual.interpolation_mode,
        align_corners=visual.interpolation_align_corners,
        spatial_merge_size=MERGE,
    )
    return (visual.pos_embed(indices) * weights[:, :, None]).sum(1)


FAMILY = Qwen3VL()
