"""Qwen3.5: Qwen3-VL's frames and stamps without deepstack, and a language model in which most layers are linear
attention (gated delta rule) with a state of fixed size.

A cached prompt is continued as in every family, but such a state is overwritten by what follows and cannot be cut
back: `decoding.share_cache` copies it for each question. A mask cannot keep two continuations in one row apart either,
because the state passes through both, so every row of training holds one.
"""

from typing import Any, ClassVar

from torch import Tensor

from tempo_core.families.base import Family, configuration, run_blocks
from tempo_core.families.qwen3_vl import HALF, learned_positions
from tempo_core.vision import Normaliser

_TEXT = {
    "vocab_size": 248320,
    "head_dim": 256,
    "max_position_embeddings": 262144,
    "rms_norm_eps": 1e-6,
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e7,
        "mrope_section": [11, 11, 10],
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.25,
    },
}


class Qwen35(Family):
    model_type = "qwen3_5"
    title = "Qwen3.5"
    class_name = "Qwen3_5ForConditionalGeneration"
    normaliser = Normaliser(mean=HALF, std=HALF, patch_px=16)
    unquantised = (*Family.unquantised, "in_proj_a", "in_proj_b")
    """The two small projections set how fast a state decays and is written: a head each, and sensitive."""
    packs_rows = False
    published: ClassVar = {
        "Qwen3.5-2B": configuration(
            _TEXT,
            {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16},
            tied=True,
            hidden_size=2048,
            intermediate_size=6144,
            num_hidden_layers=24,
            num_attention_heads=8,
            num_key_value_heads=2,
            linear_num_value_heads=16,
        ),
    }

    def run_tower(self, visual: Any, hidden: Tensor, grid: tuple[int, int]) -> Tensor:
        hidden = hidden + learned_positions(visual, grid).to(hidden.dtype)
        return run_blocks(visual, hidden, grid)

    def attention_mask(self, mask: Tensor) -> Tensor | None:
        """None: rows are causal, and padding stands at their end."""
        return None

    def cache_bytes(self, text_config: Any, tokens: int, bytes_each: int) -> int:
        n_full = text_config.layer_types.count("full_attention")
        n_linear = len(text_config.layer_types) - n_full
        keys = 2 * text_config.num_key_value_heads * text_config.head_dim * bytes_each
        key_width = text_config.linear_num_key_heads * text_config.linear_key_head_dim
        value_width = text_config.linear_num_value_heads * text_config.linear_value_head_dim
        convolution = (2 * key_width + value_width) * text_config.linear_conv_kernel_dim * bytes_each
        state = value_width * text_config.linear_key_head_dim * 4  # float32
        return int(n_full * keys * tokens + n_linear * (convolution + state))


FAMILY = Qwen35()
