"""Qwen2-VL (arXiv 2409.12191): 14-px patches, full attention in the tower; time is a count of groups.

transformers 5.23 gives text after a video block the position after its largest side, which may lie inside the block's
own times; Qwen2-VL was trained with the position after everything in the block (transformers 4.57.6 and before), and
`positions.mrope_positions` keeps to that. Still images are the same in both.
"""

from typing import Any, ClassVar

from tempo_core.families.base import Family, configuration

_VISION = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4}
_TEXT = {
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}


class Qwen2VL(Family):
    model_type = "qwen2_vl"
    title = "Qwen2-VL"
    class_name = "Qwen2VLForConditionalGeneration"
    published: ClassVar = {
        "Qwen2-VL-2B-Instruct": configuration(
            _TEXT,
            _VISION,
            tied=True,
            joint="hidden_size",
            hidden_size=1536,
            intermediate_size=8960,
            num_hidden_layers=28,
            num_attention_heads=12,
            num_key_value_heads=2,
            vocab_size=151936,
        ),
        "Qwen2-VL-7B-Instruct": configuration(
            _TEXT,
            _VISION,
            tied=False,
            joint="hidden_size",
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
            vocab_size=152064,
        ),
    }

    def tower_width(self, vision_config: Any) -> int:
        return round(vision_config.embed_dim * (vision_config.mlp_ratio + 4))


FAMILY = Qwen2VL()
