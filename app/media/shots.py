"""Where a clip's content changes: the allocator's own measure of change, placed to the frame."""

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.media.library import ClipFacts
from tempo_core.allocation import frame_changes
from tempo_core.video import sample

FINEST_S = 0.2
MAX_COARSE_FRAMES = 2000
"""Frames of the first pass; a long clip is sampled more coarsely."""
MAX_SHOTS = 120
LEAST_CHANGE = 0.04
SIZE = (48, 64)


def find_shots(clip: Path, facts: ClipFacts, *, cancel: threading.Event) -> list[int]:
    """Milliseconds at which a new content begins: the start of the first frame that shows it, sorted.

    First pass at FINEST_S or coarser, second pass frame by frame inside each stretch that changed most.
    Raises VideoError, Cancelled.
    """
    rate = facts.frame_rate or 25.0
    # First pass: the stretches between two frames that changed most
    step_s = max(FINEST_S, facts.duration_s / MAX_COARSE_FRAMES, 1 / rate)
    coarse = sample(clip, step_s=step_s, size=SIZE, cancel=cancel)
    stretches = [
        (coarse.times_s[i], coarse.times_s[i + 1]) for i in peaks(frame_changes(coarse.frames))[:MAX_SHOTS]
    ]
    if not stretches:
        return []
    # Second pass: every frame of these stretches
    frame_idx = sorted(
        {idx for start_s, end_s in stretches for idx in range(round(start_s * rate), round(end_s * rate) + 1)}
    )
    fine = sample(clip, at=[(idx + 0.5) / rate for idx in frame_idx], size=SIZE, cancel=cancel)
    changes = dict(zip(pairwise(map(float, fine.times_s)), frame_changes(fine.frames), strict=True))
    shots_s = set()
    for start_s, end_s in stretches:
        inside = [pair for pair in changes if pair[0] >= start_s - 1e-6 and pair[1] <= end_s + 1e-6]
        if inside:
            shots_s.add(max(inside, key=changes.__getitem__)[1])
    return sorted(round(time_s * 1000) for time_s in shots_s)


def peaks(changes: npt.NDArray[np.float64]) -> list[int]:
    """Indices of changes that stand out from their neighbours and from the clip's usual change, largest first."""
    if len(changes) == 0:
        return []
    threshold = max(LEAST_CHANGE, float(np.median(changes)) * 3)
    padded = np.concatenate([[-1.0], changes, [-1.0]])
    local = (padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:])
    indices = np.flatnonzero(local & (changes >= threshold))
    return [int(idx) for idx in indices[np.argsort(-changes[indices], kind="stable")]]
