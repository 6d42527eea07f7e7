"""tempo-tiny: a Qwen2-VL of a few million parameters, and how its weights begin."""

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from tempo_core.protocols.base import special_id
from tempo_core.vision import PATCH_PX, Normaliser
from train.shapeworld.render import render
from train.shapeworld.scene import PLAIN, RICH, sample_scene

NORMALISER = Normaliser()
HIDDEN = 256


def tiny_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2VLConfig:
    """Six layers of 256 over a vision tower of four layers of 192; every matrix fits NF4's blocks of 64."""
    names = ("vision_start", "vision_end", "image_pad", "video_pad", "im_end", "endoftext")
    ids = {name: special_id(tokenizer, f"<|{name}|>") for name in names}
    return Qwen2VLConfig(
        text_config={
            "hidden_size": HIDDEN,
            "intermediate_size": 512,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
            "tie_word_embeddings": True,
            "bos_token_id": ids["endoftext"],
            "eos_token_id": ids["im_end"],
            "pad_token_id": ids["endoftext"],
        },
        vision_config={
            "depth": 4,
            "embed_dim": 192,
            "num_heads": 6,
            "mlp_ratio": 3,
            "hidden_size": HIDDEN,
            "patch_size": PATCH_PX,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
    )


def new_model(
    tokenizer: PreTrainedTokenizerBase, *, seed: int, whitened: bool = True
) -> Qwen2VLForConditionalGeneration:
    """A model with random weights, whose patch embedding starts as the principal components of shapeworld's patches.

    They take seconds to find; `whitened` is off where other weights come in their place.
    """
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(tiny_config(tokenizer)).float()
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=[
            tokenizer.convert_tokens_to_ids("<|im_end|>"),
            tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        ],
        pad_token_id=tokenizer.pad_token_id,
    )
    if whitened:  # without it shapes take minutes longer to emerge
        patches = []
        for scene_seed in range(seed * 1000, seed * 1000 + 160):
            scene = sample_scene(scene_seed, RICH if scene_seed % 2 else PLAIN, ticks=12, aspect=(1, 1))
            for side in (56, 112):
                frames = render(scene, short_side_px=side, times=np.array([2.0, 6.0, 9.0]))
                pixels = (frames / 255 - NORMALISER.mean) / NORMALISER.std
                grid = side // PATCH_PX
                cut = pixels.reshape(3, grid, PATCH_PX, grid, PATCH_PX, 3).transpose(0, 1, 3, 5, 2, 4)
                patches.append(cut.reshape(-1, 3 * PATCH_PX * PATCH_PX))
        flat = np.concatenate(patches)
        centred = flat - flat.mean(axis=0)
        _, values, components = np.linalg.svd(centred, full_matrices=False)
        size = model.model.visual.patch_embed.embed_dim
        scale = values[:size] / np.sqrt(len(centred))
        weights = components[:size] / np.maximum(scale, 0.05)[:, None]
        kernel = torch.tensor(weights, dtype=torch.float32).view(size, 3, 1, PATCH_PX, PATCH_PX)
        with torch.no_grad():
            model.model.visual.patch_embed.proj.weight.copy_(kernel.expand(-1, -1, 2, -1, -1) / 2)
    return model
