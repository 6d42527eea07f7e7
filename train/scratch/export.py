"""A finished run as a checkpoint folder that loads like any other Qwen2-VL: bf16 safetensors, tokenizer, tempo.json."""

import json
from dataclasses import asdict
from pathlib import Path

from transformers import PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration

from tempo_core.defaults import FILE_NAME, GroundingDefaults
from train.scratch.architecture import IMAGE_MEAN, IMAGE_STD, PATCH_PX
from train.scratch.recipe import ScratchRecipe

DEFAULTS = GroundingDefaults(
    max_frames=40,
    finest_step_s=1.0,
    token_budget=1024,
    tokens_per_frame=8.0,
    min_tokens=4,
    max_tokens=16,
    max_new_tokens=256,
    instruction="",
)
"""What tempo-tiny was trained with: at most 40 frames, eight tokens a frame on average, four to sixteen each."""


def export(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    recipe: ScratchRecipe,
    folder: Path,
) -> Path:
    """Write the checkpoint; returns its folder. The model is converted to bfloat16 in place."""
    folder.mkdir(parents=True, exist_ok=True)
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    defaults = asdict(DEFAULTS) | {"recipe": recipe.name, "seed": recipe.seed}
    preprocessor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_mean": IMAGE_MEAN,
        "image_std": IMAGE_STD,
        "patch_size": PATCH_PX,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "min_pixels": 28 * 28,
        "max_pixels": 16 * 28 * 28,
    }
    for name, data in ((FILE_NAME, defaults), ("preprocessor_config.json", preprocessor)):
        (folder / name).write_text(json.dumps(data, indent=1) + "\n")
    return folder
