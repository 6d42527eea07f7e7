"""Frames to visual tokens: resize, normalise, cut into patches, run the vision tower.

`encode_frames` batches units of equal size, because the towers' own attention visits them one by one; the
model's `get_image_features` and `get_video_features` are its plain twin. A unit is a still image, or a group of two
frames (`frames_per_unit`). A still image fills both temporal slots with the same picture, so the fast path sums the
two halves of the patch projection instead.
Legend: U units, T frames, P patches of a unit, N visual tokens, D width of the tower, W width of the language model,
K the family's deepstack features.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from tempo_core.errors import Cancelled, InputError
from tempo_core.families import family_of

PATCH_PX = 14
"""Qwen2-VL's; other families state theirs in their Normaliser."""
MERGE = 2
TEMPORAL_PATCH = 2
MAX_BATCH_PATCHES = 4096
"""Patches of one batch: bounds the memory of the vision tower (4,096 patches are 4 frames of 448 x 448)."""
CACHED_BATCH_PATCHES = 1024
"""Patches of one batch of a large tower in bfloat16 on a CPU: what lies between its products stays in the cache."""

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Normaliser:
    """How a checkpoint wants its pixels."""

    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Per channel, in [0, 1]. Default: CLIP's, as Qwen2-VL."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    rescale: float = 1 / 255
    patch_px: int = PATCH_PX
    """Side of a patch."""

    @property
    def token_px(self) -> int:
        """Side of the square of pixels that one visual token covers: frames' sides are multiples of it."""
        return self.patch_px * MERGE


def resize_frame(frame: Frames, size_px: Sequence[int]) -> Frames:
    """A frame uint8[H, W, 3] at (height, width), bicubic on 8 bits, like Qwen2-VL's own PIL processor."""
    height, width = int(size_px[0]), int(size_px[1])
    if frame.shape[:2] == (height, width):
        return frame
    picture = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.uint8)


def patchify(frame: Frames, normaliser: Normaliser) -> npt.NDArray[np.float32]:
    """A frame uint8[H, W, 3], sides multiples of a token's, as patches float32[P, 3 * patch_px ** 2].

    Patches come in the order of the 2 x 2 merging, channels first. `pixel_values` repeats each channel
    twice. Raises InputError for other sides.
    """
    height, width = frame.shape[:2]
    patch, side = normaliser.patch_px, normaliser.token_px
    if height % side or width % side or not height or not width:
        raise InputError(
            f"A frame's sides must be multiples of {side} pixels; got {width}x{height}. Resize it first."
        )
    mean, std = np.array(normaliser.mean), np.array(normaliser.std)
    pixels = ((frame * normaliser.rescale - mean) / std).astype(np.float32)
    shape = (height // side, MERGE, patch, width // side, MERGE, patch, 3)
    cut = pixels.reshape(shape).transpose(0, 3, 1, 4, 6, 2, 5)
    return np.ascontiguousarray(cut.reshape(-1, 3 * patch * patch), dtype=np.float32)


def pixel_values(
    frame: Frames, normaliser: Normaliser, later: Frames | None = None
) -> npt.NDArray[np.float32]:
    """The patches as the model's own forward wants them, float32[P, 3 * 2 * patch_px ** 2].

    `later` is the second frame of a group; a still image (None) stands there twice.
    """
    first = patchify(frame, normaliser)
    slots = [first, first if later is None else patchify(later, normaliser)]
    return np.stack([slot.reshape(len(slot), 3, -1) for slot in slots], axis=2).reshape(len(first), -1)


def group_frames(
    frames: Sequence[Frames] | Frames, sizes_px: npt.NDArray[np.int64], frames_per_unit: int
) -> list[tuple[Frames, Frames | None]]:
    """The frames of each unit, resized to the unit's size: (frame, None) for a still image, else both of a group.

    An odd last frame is repeated, as transformers' video processors do. Raises InputError when there is not one size
    a unit.
    """
    units = [range(start, start + frames_per_unit) for start in range(0, len(frames), frames_per_unit)]
    if len(units) != len(sizes_px):
        raise InputError(
            f"{len(frames)} frames in units of {frames_per_unit} need {len(units)} sizes; got {len(sizes_px)}."
        )
    grouped: list[tuple[Frames, Frames | None]] = []
    for unit, size in zip(units, sizes_px, strict=True):
        pictures = [resize_frame(frames[min(idx, len(frames) - 1)], size) for idx in unit]
        grouped.append((pictures[0], pictures[1] if frames_per_unit > 1 else None))
    return grouped


def image_inputs(
    model: Any,
    frames: Sequence[Frames] | Frames,
    sizes_px: npt.NDArray[np.int64],
    normaliser: Normaliser,
    *,
    frames_per_unit: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pixels and the grids [U, 3] of all units, for the model's own forward: `pixel_values` and `image_grid_thw`,
    or those of videos for groups of two frames."""
    units = group_frames(frames, sizes_px, frames_per_unit)
    pixels = [torch.from_numpy(pixel_values(frame, normaliser, later)) for frame, later in units]
    patch = normaliser.patch_px
    grids = torch.tensor([[1, int(height) // patch, int(width) // patch] for height, width in sizes_px])
    return torch.cat(pixels).to(model.device), grids.to(model.device)


def is_large_on_cpu(device: str, dtype: torch.dtype) -> bool:
    """Whether a model is a large one on a CPU: no other is computed in bfloat16 there."""
    return device == "cpu" and dtype == torch.bfloat16


def batch_patches(device: str, dtype: torch.dtype) -> int:
    """Most patches of one batch."""
    return (
        min(MAX_BATCH_PATCHES, CACHED_BATCH_PATCHES) if is_large_on_cpu(device, dtype) else MAX_BATCH_PATCHES
    )


def encode_frames(
    model: Any,
    frames: Frames,
    sizes_px: npt.NDArray[np.int64],
    normaliser: Normaliser,
    *,
    frames_per_unit: int = 1,
    cancel: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> torch.Tensor:
    """Visual tokens [N, (1 + K) W], units of equal size together. `sizes_px` has (height, width) of each unit.

    Raises Cancelled between batches when `cancel` is set.
    """
    family, visual = family_of(model), model.model.visual
    projection = visual.patch_embed.proj
    weight = projection.weight
    # a still image has the same picture in both temporal slots
    weight = weight.sum(dim=2).flatten(1) if frames_per_unit == 1 else weight.flatten(1)
    units = group_frames(frames, sizes_px, frames_per_unit)
    by_size: dict[tuple[int, int], list[int]] = {}
    for idx, (height, width) in enumerate(sizes_px.tolist()):
        by_size.setdefault((height, width), []).append(idx)
    encoded: dict[int, torch.Tensor] = {}
    for size, indices in by_size.items():
        grid = size[0] // normaliser.patch_px, size[1] // normaliser.patch_px
        # at least one unit a batch
        step = max(1, batch_patches(str(model.device), weight.dtype) // (grid[0] * grid[1]))
        for start in range(0, len(indices), step):
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped while looking at the frames.")
            batch = indices[start : start + step]
            pictures = [units[idx] for idx in batch]
            patches = np.stack(
                [
                    patchify(frame, normaliser) if later is None else pixel_values(frame, normaliser, later)
                    for frame, later in pictures
                ]
            )
            hidden = F.linear(
                torch.from_numpy(patches).to(model.device, weight.dtype), weight, projection.bias
            )
            encoded.update(zip(batch, family.run_tower(visual, hidden, grid), strict=True))
            if on_progress is not None:
                on_progress(len(encoded) / len(units))
    return torch.cat([encoded[idx] for idx in range(len(units))])
