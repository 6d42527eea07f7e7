"""SAA, Self-adaptive Attention Allocation: how many visual tokens each sampled frame gets.

Tempo-R0 (arXiv 2507.04702) says that frames whose content changes get more tokens; its equations are not public, so
every formula here is decided by us and stated where it stands.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tempo_core.errors import InputError

TOKEN_PX = 28
"""Side of the square of pixels that one visual token of Qwen2-VL covers."""

_SMALL_PX = 32
"""Frames are compared as 32 x 32 pictures: compression noise goes, a small new object stays."""
_CELL_PX = 4
"""Side of a cell of the small picture; a frame has 8 x 8 cells."""
_TOP_CELLS = 4
"""A change is the mean of the four cells that changed most, so that a small object is not averaged away."""
_STILL = 1.5 / 255
"""Changes that stand out by less than this are noise, and the video counts as still."""
_BASE_WEIGHT = 0.1
"""Weight of a frame that does not change at all, relative to the frame that changes most."""
_SHIFT_FRAMES = 2


def saa_weights(variation: npt.NDArray[np.float64], seed: int = 0) -> npt.NDArray[np.float64]:
    """Weights float64[T] by content variation float64[T]: SAA's own."""
    return _BASE_WEIGHT + (1 - _BASE_WEIGHT) * variation


def uniform_weights(variation: npt.NDArray[np.float64], seed: int = 0) -> npt.NDArray[np.float64]:
    """The same weight for every frame."""
    return np.ones(len(variation))


def random_weights(variation: npt.NDArray[np.float64], seed: int = 0) -> npt.NDArray[np.float64]:
    """A control for experiments: SAA's weights on shuffled frames."""
    return np.random.default_rng(seed).permutation(saa_weights(variation))


def shifted_weights(variation: npt.NDArray[np.float64], seed: int = 0) -> npt.NDArray[np.float64]:
    """A control for experiments: each frame has the weight of the one two before it, so that tokens go into the events,
    away from where they begin and end."""
    return np.roll(saa_weights(variation), _SHIFT_FRAMES)


ALLOCATORS = {
    "saa": saa_weights,
    "uniform": uniform_weights,
    "random": random_weights,
    "shifted": shifted_weights,
}
"""How a budget can be shared: (variation float64[T], seed) → weights float64[T], all above 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """Visual tokens per sampled frame, with the reason for them."""

    tokens: npt.NDArray[np.int64]
    """int64[T]: visual tokens of each frame."""
    sizes_px: npt.NDArray[np.int64]
    """int64[T, 2]: height and width that each frame is resized to, multiples of `token_px`."""
    variation: npt.NDArray[np.float64]
    """float64[T]: content variation in [0, 1]; 1 is the greatest change in this video."""
    allocator: str
    budget_tokens: int

    def to_dict(self) -> dict[str, Any]:
        """The allocation as plain JSON values, as it is stored with every proposal."""
        return {
            "tokens": self.tokens.tolist(),
            "sizes_px": self.sizes_px.tolist(),
            "variation": [round(float(v), 4) for v in self.variation],
            "allocator": self.allocator,
            "budget_tokens": self.budget_tokens,
            "spent_tokens": int(self.tokens.sum()),
        }


def allocate(
    frames: npt.NDArray[np.uint8],
    *,
    budget_tokens: int,
    min_tokens: int,
    max_tokens: int,
    allocator: str = "saa",
    seed: int = 0,
    token_px: int = TOKEN_PX,
) -> Allocation:
    """Share `budget_tokens` among frames uint8[T, H, W, 3].

    Every frame gets a size of the ladder between `min_tokens` and `max_tokens`; the sum never exceeds the budget. A
    token covers `token_px` x `token_px` pixels. Deterministic (`seed` matters to allocators that draw, such as
    `random`). Raises InputError when the budget cannot hold the minimum.
    """
    if allocator not in ALLOCATORS:
        raise InputError(f"Unknown allocator {allocator!r}. Use one of: {', '.join(ALLOCATORS)}.")
    if frames.ndim != 4 or frames.shape[0] == 0:
        raise InputError(
            f"Allocation needs frames of shape [T, H, W, 3] with T of 1 or more; got {frames.shape}."
        )
    count, height, width = frames.shape[:3]
    ladder = size_ladder(height, width, min_tokens=min_tokens, max_tokens=max_tokens)
    areas = np.array([h * w for h, w in ladder], dtype=np.int64)
    if budget_tokens < count * areas[0]:
        raise InputError(
            f"A budget of {budget_tokens} tokens cannot hold {count} frames of at least {areas[0]} tokens each. "
            f"Give at least {count * areas[0]} tokens, or sample fewer frames."
        )
    variation = content_variation(frames)
    weights = ALLOCATORS[allocator](variation, seed)
    ideal = water_fill(weights, total=budget_tokens, low=float(areas[0]), high=float(areas[-1]))
    rungs = round_to_ladder(ideal, areas, budget_tokens)
    sizes = np.array(ladder, dtype=np.int64)[rungs] * token_px
    return Allocation(
        tokens=areas[rungs],
        sizes_px=sizes,
        variation=variation,
        allocator=allocator,
        budget_tokens=budget_tokens,
    )


def content_variation(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """How much each frame uint8[T, H, W, 3] differs from its neighbours, float64[T] in [0, 1].

    A change between two frames lifts both of them; the first frame, new as a whole, counts as the greatest change.
    The lower quartile of the changes is taken as the video's own noise. A still video is 0 everywhere.
    """
    changes = frame_changes(frames)
    if len(changes) == 0:
        return np.zeros(1)
    floor = float(np.quantile(changes, 0.25))
    span = float(changes.max()) - floor
    if span < _STILL:
        return np.zeros(len(frames))
    scaled = np.clip((changes - floor) / span, 0.0, 1.0)
    before = np.concatenate([[1.0], scaled])
    after = np.concatenate([scaled, [0.0]])
    return np.maximum(before, after)


def frame_changes(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Change from each frame to the next, float64[T - 1] in [0, 1]: the mean of its most changed cells."""
    # Luma and half-weighted chroma of each frame, float64[T, 32, 32, 3], by area average.
    pictures = [
        Image.fromarray(frame).resize((_SMALL_PX, _SMALL_PX), Image.Resampling.BOX).convert("YCbCr")
        for frame in frames
    ]
    weights = np.array([1.0, 0.5, 0.5])
    small = np.stack([np.asarray(picture, dtype=np.float64) / 255 * weights for picture in pictures])
    difference = np.abs(np.diff(small, axis=0)).sum(axis=-1)
    cells = _SMALL_PX // _CELL_PX
    grid = (
        difference.reshape(-1, cells, _CELL_PX, cells, _CELL_PX).mean(axis=(2, 4)).reshape(-1, cells * cells)
    )
    top = np.partition(grid, -_TOP_CELLS, axis=1)[:, -_TOP_CELLS:]
    return np.asarray(np.clip(top.mean(axis=1), 0.0, 1.0), dtype=np.float64)


def size_ladder(height: int, width: int, *, min_tokens: int, max_tokens: int) -> list[tuple[int, int]]:
    """Sizes (rows, columns of tokens) that keep the aspect of a height x width picture, smallest first.

    Rows and columns never shrink from one rung to the next. The aspect may be off by the factor 1 + 1.25/sqrt(tokens):
    few tokens have few shapes. Where no shape fits `min_tokens`, the nearest larger one is the smallest rung.
    """
    if not 1 <= min_tokens <= max_tokens:
        raise InputError(
            f"Tokens per frame must be 1 <= minimum <= maximum; got {min_tokens} and {max_tokens}. Swap or raise them."
        )
    aspect = math.log(width / height)
    ladder: list[tuple[int, int]] = []
    for tokens in range(min_tokens, max_tokens + 1):
        shapes = [(rows, tokens // rows) for rows in range(1, tokens + 1) if tokens % rows == 0]
        best = min(shapes, key=lambda s: abs(math.log(s[1] / s[0]) - aspect))
        off = abs(math.log(best[1] / best[0]) - aspect)
        grows = not ladder or (best[0] >= ladder[-1][0] and best[1] >= ladder[-1][1])
        if grows and off <= math.log(1 + 1.25 / math.sqrt(tokens)) + 1e-9:
            ladder.append(best)
    if not ladder:
        raise InputError(
            f"No frame size between {min_tokens} and {max_tokens} tokens keeps the shape of a {width}x{height} "
            "picture. Widen the range of tokens per frame, or crop the video."
        )
    return ladder


def water_fill(
    weights: npt.NDArray[np.float64], *, total: float, low: float, high: float
) -> npt.NDArray[np.float64]:
    """Shares low + level * weight, cut at `high`, that sum to `total` (or to the greatest possible sum)."""
    if total >= len(weights) * high:
        return np.full(len(weights), high)
    below, above = 0.0, (high - low) / float(weights.min()) + 1.0
    for _ in range(60):
        level = (below + above) / 2
        if np.minimum(low + level * weights, high).sum() > total:
            above = level
        else:
            below = level
    return np.asarray(np.minimum(low + below * weights, high), dtype=np.float64)


def round_to_ladder(
    ideal: npt.NDArray[np.float64], areas: npt.NDArray[np.int64], budget_tokens: int
) -> npt.NDArray[np.int64]:
    """Rung of each frame: the ideal rounded down, then what is left goes where it is missed most."""
    rungs = np.searchsorted(areas, ideal + 1e-6, side="right") - 1
    spare_tokens = budget_tokens - int(areas[rungs].sum())
    while True:
        can_rise = rungs < len(areas) - 1
        price = np.where(
            can_rise, areas[np.minimum(rungs + 1, len(areas) - 1)] - areas[rungs], budget_tokens + 1
        )
        missed = np.where(price <= spare_tokens, (ideal - areas[rungs]) / price, -np.inf)
        best = int(missed.argmax())
        if missed[best] == -np.inf:
            return np.asarray(rungs, dtype=np.int64)
        spare_tokens -= int(price[best])
        rungs[best] += 1
