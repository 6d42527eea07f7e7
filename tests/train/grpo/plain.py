"""The plain twin of `group_logprobs`: one row per completion, pixels and all, by the model's own forward."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tempo_core.vision import image_inputs
from train.data.encoding import Encoded, EncodedVideo
from train.grpo.group_forward import Choices, Completion, vision_token_ids
from train.trainer import unwrapped


def pixel_inputs(model: Any, video: EncodedVideo, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the model's own forward takes to see the video in rows `ids` int64[B, L]."""
    per_unit = video.frames_per_unit
    pixels, grids = image_inputs(
        model, video.frames, video.allocation.sizes_px, video.normaliser, frames_per_unit=per_unit
    )
    if video.modality == "image":
        types = (ids == model.config.image_token_id).int()
        return {"pixel_values": pixels, "image_grid_thw": grids, "mm_token_type_ids": types}
    types = (ids == model.config.video_token_id).int() * 2
    return {"pixel_values_videos": pixels, "video_grid_thw": grids, "mm_token_type_ids": types}


def model_positions(model: Any, encoded: Encoded, ids: torch.Tensor) -> torch.Tensor:
    """The model's own positions int64[3, B, L], but behind a video block of its own times (see
    `tempo_core.families`)."""
    if len(encoded.video.timeline.units) > 1 and not any(encoded.video.timeline.stamps):
        return torch.from_numpy(encoded.positions(ids.shape[1]))[:, None]
    vision = pixel_inputs(model, encoded.video, ids)
    grids = {name: grid for name, grid in vision.items() if name.endswith("grid_thw")}
    positions, _ = model.model.get_rope_index(ids, vision["mm_token_type_ids"], **grids)
    return positions


def plain_logprobs(
    model: Any, encoded: Encoded, completions: Sequence[Completion], *, temperature: float = 1.0
) -> torch.Tensor:
    """Log-probabilities float32[N] of the completions' choices; positions are the model's own."""
    base, logprobs = unwrapped(model), []
    for completion in completions:
        ids = torch.tensor([[*encoded.prompt_ids, *completion.ids]], device=base.device)
        vision = pixel_inputs(base, encoded.video, ids)
        positions = model_positions(base, encoded, ids)
        output = model(input_ids=ids, position_ids=positions, use_cache=False, **vision)
        start = len(encoded.prompt_ids) - 1
        logits = output.logits[0, [start + step for step in completion.choices]]
        choices = Choices.of([completion], base.device)
        logprobs.append(choices.logprobs(logits, temperature, vision_token_ids(model)))
    return torch.cat(logprobs)


def assert_equal_gradients(fast: torch.Tensor, twin: torch.Tensor) -> None:
    assert float(torch.cosine_similarity(fast, twin, dim=0)) > 0.9999
    assert float(fast.norm() / twin.norm()) == pytest.approx(1, abs=1e-3)
