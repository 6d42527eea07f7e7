"""The plain twin of everything that the engine does quickly: the model's own forward, whole, for every token.

No cache, no batching, no vision ahead of time; positions are the model's own. Slow, for tests and benchmarks.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from tempo_core.context import Layout
from tempo_core.decoding import Scorer
from tempo_core.loading import LoadedModel
from tempo_core.prompt import IMAGE_PAD, special_id
from tempo_core.vision import PATCH_PX, pixel_values, resize_frame

if TYPE_CHECKING:
    from tempo_core.video import SampledVideo


def plain_scorer(
    loaded: LoadedModel, video: "SampledVideo", layout: Layout, question: Sequence[int]
) -> Scorer:
    """A scorer behind a video and a question that runs all of them, pixels included, for every prefix."""
    ids = [*layout.ids, *question]
    pixels, grids = image_inputs(loaded, video, layout.allocation.sizes_px)

    def score(prefixes: Sequence[Sequence[int]], parents: Sequence[int]) -> torch.Tensor:
        return torch.cat([_whole_forward(loaded, [*ids, *prefix], pixels, grids) for prefix in prefixes])

    return score


def image_inputs(
    loaded: LoadedModel, video: "SampledVideo", sizes_px: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """`pixel_values` and `image_grid_thw` of all frames, for the model's own forward."""
    pieces = [
        torch.from_numpy(pixel_values(resize_frame(frame, size), loaded.normaliser))
        for frame, size in zip(video.frames, sizes_px, strict=True)
    ]
    grids = torch.tensor([[1, int(height) // PATCH_PX, int(width) // PATCH_PX] for height, width in sizes_px])
    return torch.cat(pieces).to(loaded.model.device), grids.to(loaded.model.device)


def _whole_forward(
    loaded: LoadedModel, ids: list[int], pixels: torch.Tensor, grids: torch.Tensor
) -> torch.Tensor:
    """Logits float32[1, V] after the last id, without a cache."""
    model = loaded.model
    row = torch.tensor([ids], device=model.device)
    types = (row == special_id(loaded.tokenizer, IMAGE_PAD)).int()
    positions, _ = model.model.get_rope_index(row, types, image_grid_thw=grids)
    output = model(
        input_ids=row,
        pixel_values=pixels,
        image_grid_thw=grids,
        mm_token_type_ids=types,
        position_ids=positions,
        use_cache=False,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1].float()
    return logits
