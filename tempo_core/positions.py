"""M-RoPE positions of a prompt, as the models count them. Pure functions on ints; no model, no torch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tempo_core.errors import InputError


def grid_sizes(sizes_px: NDArray[np.int64], token_px: int = 28) -> list[tuple[int, int]]:
    """(height, width) in merged vision tokens of frames given in pixels, multiples of `token_px`."""
    return [(int(height) // token_px, int(width) // token_px) for height, width in sizes_px]


def mrope_positions(
    ids: Sequence[int],
    grids: Sequence[tuple[int, int]],
    *,
    image_token_id: int,
    times: Sequence[Sequence[int]] | None = None,
    start: int = 0,
) -> NDArray[np.int64]:
    """Positions (time, height, width) of every id, int64[3, L], equal to the models' `get_rope_index` for images.

    `grids` are the (height, width) in merged tokens of every unit, a still image or a group of frames, in order. A
    block of placeholders is one unit, or those of a whole video: `times` are the temporal positions of each block's
    units, from 0 (None: one unit a block; see `Family.temporal_positions`). Units of one block may differ in size. Text
    goes on after everything in a block: an image of h x w tokens advances the position by max(h, w). `image_token_id`
    is the placeholder's. `start` is the position of the first id, for a continuation of an earlier sequence. Raises
    InputError when the placeholders do not match the grids.
    """
    times = [(0,)] * len(grids) if times is None else times
    is_image = np.asarray(ids, dtype=np.int64) == image_token_id
    edges = np.flatnonzero(np.diff(is_image.astype(np.int8), prepend=0, append=0))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    units = iter(grids)
    blocks = [[(*next(units), time) for time in block_times] for block_times in times]
    if [stop - first for first, stop in runs] != [sum(h * w for h, w, _ in block) for block in blocks]:
        raise InputError(
            "The image placeholders in the prompt do not match the frames' sizes; build both from one "
            "allocation."
        )
    positions = np.empty((3, len(is_image)), dtype=np.int64)
    position, filled = start, 0
    for (first, _), block in zip(runs, blocks, strict=True):
        positions[:, filled:first] = position + np.arange(first - filled)
        position += first - filled
        filled = first
        for height, width, time in block:
            unit = positions[:, filled : filled + height * width]
            unit[0] = position + time
            unit[1] = position + np.repeat(np.arange(height), width)
            unit[2] = position + np.tile(np.arange(width), height)
            filled += height * width
        position += max(max(height, width, time + 1) for height, width, time in block)
    positions[:, filled:] = position + np.arange(len(is_image) - filled)
    return positions


def next_position(positions: NDArray[np.int64]) -> int:
    """The position of the text token that follows. It is 0 after nothing."""
    return int(positions.max()) + 1 if positions.size else 0
