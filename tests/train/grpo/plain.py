"""The plain twin of `group_logprobs`: one row per completion, pixels and all, by the model's own forward."""

from collections.abc import Sequence
from typing import Any

import torch

from tempo_core.vision import image_inputs
from train.data.encoding import Encoded, EncodedVideo
from train.grpo.group_forward import Choices, Completion, vision_token_ids
from train.trainer import unwrapped


def pixel_inputs(model: Any, video: EncodedVideo, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the model's own forward takes to see the video in rows `ids` int64[B, L]."""
    pixels, grids = image_inputs(model, video.frames, video.allocation.sizes_px, video.normaliser)
    types = (ids == model.config.image_token_id).int()
    return {"pixel_values": pixels, "image_grid_thw": grids, "mm_token_type_ids": types}


def plain_logprobs(
    model: Any, encoded: Encoded, completions: Sequence[Completion], *, temperature: float = 1.0
) -> torch.Tensor:
    """Log-probabilities float32[N] of the completions' choices; positions are the model's own."""
    base, logprobs = unwrapped(model), []
    for completion in completions:
        ids = torch.tensor([[*encoded.prompt_ids, *completion.ids]], device=base.device)
        vision = pixel_inputs(base, encoded.video, ids)
        positions, _ = base.model.get_rope_index(
            ids, vision["mm_token_type_ids"], image_grid_thw=vision["image_grid_thw"]
        )
        output = model(input_ids=ids, position_ids=positions, use_cache=False, **vision)
        start = len(encoded.prompt_ids) - 1
        logits = output.logits[0, [start + step for step in completion.choices]]
        choices = Choices.of([completion], base.device)
        logprobs.append(choices.logprobs(logits, temperature, vision_token_ids(model)))
    return torch.cat(logprobs)
