"""Small random checkpoints of every family, for tests: two layers, mixed with everything that makes it special."""

import json
from pathlib import Path
from typing import Any

from tempo_core.families import MODEL_TYPES, family_named
from tests.tempo_core.conftest import tiny_config

SETTINGS = {"max_frames": 40, "token_budget": 160, "min_tokens": 1, "max_tokens": 16, "instruction": ""}
WHOLE_ROTARY = {
    "rope_type": "default",
    "rope_theta": 1e4,
    "mrope_section": [6, 5, 5],
    "mrope_interleaved": True,
}
HALF_ROTARY = {**WHOLE_ROTARY, "mrope_section": [3, 3, 2], "partial_rotary_factor": 0.5}
VISION = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 128}
PARTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # one layer of windows of 2 x 2 tokens, one that sees all
    "qwen2_5_vl": (
        {},
        {**VISION, "window_size": 56, "fullatt_block_indexes": [1], "tokens_per_second": 2},
    ),
    # a feature of each tower layer for each layer of the language model
    "qwen3_vl": (
        {"head_dim": 32, "rope_parameters": WHOLE_ROTARY},
        {**VISION, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]},
    ),
    # one layer of linear attention, one of full attention
    "qwen3_5": (
        {
            "head_dim": 64,
            "rope_parameters": {**HALF_ROTARY, "mrope_section": [6, 5, 5]},
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 32,
            "linear_value_head_dim": 32,
        },
        {**VISION, "num_position_embeddings": 64},
    ),
}
ALL = MODEL_TYPES


def family_config(model_type: str, tokenizer: Any) -> Any:
    """A configuration of a few hundred thousand weights; every width is a multiple of 64 for NF4."""
    base = tiny_config(tokenizer)
    if model_type == base.model_type:
        return base
    data = base.to_dict()
    keys = (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
    )
    keys = (*keys, "vocab_size", "max_position_embeddings", "tie_word_embeddings", "eos_token_id")
    text, vision = PARTS[model_type]
    shared = {key: data["text_config"][key] for key in (*keys, "rope_parameters")}
    ids = {key: value for key, value in data.items() if key.endswith("_token_id") and key != "eos_token_id"}
    return family_named(model_type).config_class(
        text_config={**shared, **text}, vision_config=vision, tie_word_embeddings=True, **ids
    )


def save_checkpoint(folder: Path, model_type: str, tokenizer: Any) -> Path:
    """A checkpoint folder with random weights, as transformers saves it."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = family_named(model_type).model_class(family_config(model_type, tokenizer))
        for parameter in model.parameters():  # wide enough for answers that differ between prompts
            if parameter.dim() > 1:
                parameter.data.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "tempo.json").write_text(json.dumps(SETTINGS))
    return folder
