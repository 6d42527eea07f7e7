"""Frames to vision tokens: resize, normalise, cut into patches, run the vision tower.

`encode_frames` batches frames of equal size, because the tower's own attention visits images one by one; its
plain twin `encode_frames_plain` is the model's `get_image_features`. Both take frames as still images:
Qwen2-VL doubles a still image to fill its two temporal slots, so the fast path sums the two halves of the
patch projection instead.
Legend: T frames, P patches of a frame, D width of the tower, H heads.
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
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision

from tempo_core.errors import Cancelled, InputError

PATCH_PX = 14
MERGE = 2
TEMPORAL_PATCH = 2
MAX_BATCH_PATCHES = 4096
"""Patches of one batch: bounds the memory of the vision tower (4,096 patches are 16 frames of 448 x 448)."""

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Normaliser:
    """How a checkpoint wants its pixels."""

    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Per channel, in [0, 1]. Default: CLIP's, as Qwen2-VL."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    rescale: float = 1 / 255


def resize_frame(frame: Frames, size_px: Sequence[int]) -> Frames:
    """A frame uint8[H, W, 3] at (height, width), bicubic on 8 bits, like Qwen2-VL's own PIL processor."""
    height, width = int(size_px[0]), int(size_px[1])
    if frame.shape[:2] == (height, width):
        return frame
    picture = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.uint8)


def patchify(frame: Frames, normaliser: Normaliser) -> npt.NDArray[np.float32]:
    """A frame uint8[H, W, 3], sides multiples of 28, as patches float32[P, 3 * 14 * 14].

    Patches come in the order of the 2 x 2 merging, channels first. `pixel_values` repeats each channel
    twice. Raises InputError for other sides.
    """
    height, width = frame.shape[:2]
    side = PATCH_PX * MERGE
    if height % side or width % side or not height or not width:
        raise InputError(
            f"A frame's sides must be multiples of {side} pixels; got {width}x{height}. Resize it first."
        )
    mean, std = np.array(normaliser.mean), np.array(normaliser.std)
    pixels = ((frame * normaliser.rescale - mean) / std).astype(np.float32)
    shape = (height // side, MERGE, PATCH_PX, width // side, MERGE, PATCH_PX, 3)
    cut = pixels.reshape(shape).transpose(0, 3, 1, 4, 6, 2, 5)
    return np.ascontiguousarray(cut.reshape(-1, 3 * PATCH_PX * PATCH_PX), dtype=np.float32)


def pixel_values(frame: Frames, normaliser: Normaliser) -> npt.NDArray[np.float32]:
    """The patches as the model's own forward wants them, float32[P, 3 * 2 * 14 * 14]: every still image twice."""
    patches = patchify(frame, normaliser).reshape(-1, 3, 1, PATCH_PX * PATCH_PX)
    return np.repeat(patches, TEMPORAL_PATCH, axis=2).reshape(len(patches), -1)


def image_inputs(
    model: Any, frames: Frames, sizes_px: npt.NDArray[np.int64], normaliser: Normaliser
) -> tuple[torch.Tensor, torch.Tensor]:
    """`pixel_values` and `image_grid_thw` of all frames, for the model's own forward."""
    pixels = [
        torch.from_numpy(pixel_values(resize_frame(frame, size), normaliser))
        for frame, size in zip(frames, sizes_px, strict=True)
    ]
    grids = torch.tensor([[1, int(height) // PATCH_PX, int(width) // PATCH_PX] for height, width in sizes_px])
    return torch.cat(pixels).to(model.device), grids.to(model.device)


def encode_frames_plain(
    model: Any, frames: Frames, sizes_px: npt.NDArray[np.int64], normaliser: Normaliser
) -> torch.Tensor:
    """Vision tokens [sum of tokens, width of the language model] by one `get_image_features` call a frame."""
    tokens = []
    for idx in range(len(frames)):
        pixels, grids = image_inputs(model, frames[idx : idx + 1], sizes_px[idx : idx + 1], normaliser)
        tokens.append(model.model.get_image_features(pixels, grids, return_dict=True).pooler_output[0])
    return torch.cat(tokens)


def encode_frames(
    model: Any,
    frames: Frames,
    sizes_px: npt.NDArray[np.int64],
    normaliser: Normaliser,
    *,
    cancel: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> torch.Tensor:
    """The same tokens, frames of equal size together. Raises Cancelled between batches when `cancel` is set."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for idx, (height, width) in enumerate(sizes_px.tolist()):
        by_size.setdefault((height, width), []).append(idx)
    encoded: dict[int, torch.Tensor] = {}
    for size, indices in by_size.items():
        rows, columns = size[0] // PATCH_PX, size[1] // PATCH_PX
        # (row, column) of each patch [P, 2] in the order of the 2 x 2 merging.
        grid = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), dim=-1)
        grid = grid.view(rows // MERGE, MERGE, columns // MERGE, MERGE, 2).transpose(1, 2)
        positions = grid.reshape(-1, 2).to(model.device)
        # At most MAX_BATCH_PATCHES patches a batch, but at least one frame.
        step = max(1, MAX_BATCH_PATCHES // (rows * columns))
        for start in range(0, len(indices), step):
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped while looking at the frames.")
            batch = indices[start : start + step]
            patches = np.stack([patchify(resize_frame(frames[idx], size), normaliser) for idx in batch])
            tokens = _run_tower(model.model.visual, torch.from_numpy(patches).to(model.device), positions)
            encoded.update(zip(batch, tokens, strict=True))
            if on_progress is not None:
                on_progress(len(encoded) / len(frames))
    return torch.cat([encoded[idx] for idx in range(len(frames))])


def _run_tower(visual: Any, patches: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Patches [T, P, 588] of frames of one size through the tower: tokens [T, P / 4, width]."""
    n_frames, n_patches = patches.shape[:2]
    weight = visual.patch_embed.proj.weight.sum(dim=2).flatten(1)  # both temporal slots hold the same picture
    hidden = F.linear(patches.to(weight.dtype), weight)
    cos, sin = visual.rotary_pos_emb(hidden, positions)
    for block in visual.blocks:
        hidden = hidden + _attend(block.attn, block.norm1(hidden), cos, sin)
        hidden = hidden + block.mlp(block.norm2(hidden))
    return visual.merger(hidden).view(n_frames, n_patches // (MERGE * MERGE), -1)


def _attend(attention: Any, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Full attention within each frame of hidden [T, P, D]."""
    n_frames, n_patches, width = hidden.shape
    qkv = attention.qkv(hidden).view(n_frames, n_patches, 3, attention.num_heads, -1)
    query, key, value = qkv.unbind(2)  # each [T, P, H, D / H]
    query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
    mixed = F.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), scale=attention.scaling
    )
    return attention.proj(mixed.transpose(1, 2).reshape(n_frames, n_patches, width))
