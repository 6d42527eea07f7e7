"""Whether a clip is drawn in flat colours, as shapeworld is, or filmed: the same word may mean two things.

`is_drawn` takes a few small pictures spread over the clip, as `sample(path, at=[...], max_pixels=...)` gives them.
"""

import numpy as np

COVER = 0.95
"""Share of a picture that its colours are counted for: noise at edges is none."""
MOST_COLOURS = 29
"""Of a drawn picture. The richest of 24 clips of shapeworld's rich tier has 26, the poorest of 24 clips of photographs
33; films of the earth at night have 13 and count as drawn."""


def coarse_colours(frames: np.ndarray) -> np.ndarray:
    """How many colours of four bits a channel cover COVER of each picture: int64[N] of frames uint8[N, H, W, 3]."""
    red, green, blue = np.moveaxis(frames.astype(np.int64) >> 4, -1, 0)
    counts = np.empty(len(frames), dtype=np.int64)
    for i, colours in enumerate(red * 256 + green * 16 + blue):
        histogram = np.sort(np.bincount(colours.ravel()))[::-1]
        counts[i] = np.searchsorted(np.cumsum(histogram), COVER * colours.size) + 1
    return counts


def is_drawn(frames: np.ndarray) -> bool:
    """Whether none of the pictures has more colours than drawings have."""
    return bool(coarse_colours(frames).max(initial=0) <= MOST_COLOURS)
