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
MAX_LOOKS = 2000
"""Frames of the first pass; a long clip is looked at more coarsely."""
MAX_SHOTS = 120
LEAST_CHANGE = 0.04
SIZE = (48, 64)


def find_shots(clip: Path, facts: ClipFacts, *, cancel: threading.Event) -> list[int]:
    """Milliseconds at which a new content begins: the start of the first frame that shows it, sorted.

    First pass at FINEST_S or coarser, second pass frame by frame inside each stretch that changed most.
    Raises VideoError, Cancelled.
    """
    rate = facts.frame_rate or 25.0
    step_s = max(FINEST_S, facts.duration_s / MAX_LOOKS, 1 / rate)
    coarse = sample(clip, step_s=step_s, size=SIZE, cancel=cancel)
    stretches = [
        (coarse.times_s[i], coarse.times_s[i + 1]) for i in peaks(frame_changes(coarse.frames))[:MAX_SHOTS]
    ]
    if not stretches:
        return []
    wanted = sorted({k for before_s, after_s in stretches for k in _frames(before_s, after_s, rate)})
    fine = sample(clip, at=[(k + 0.5) / rate for k in wanted], size=SIZE, cancel=cancel)
    changes = dict(zip(pairwise(map(float, fine.times_s)), frame_changes(fine.frames), strict=True))
    found = {_largest(changes, before_s, after_s) for before_s, after_s in stretches}
    return sorted(round(time_s * 1000) for time_s in found if time_s is not None)


def peaks(changes: npt.NDArray[np.float64]) -> list[int]:
    """Indices of changes that stand out from their neighbours and from the clip's usual change, largest first."""
    if len(changes) == 0:
        return []
    threshold = max(LEAST_CHANGE, float(np.median(changes)) * 3)
    padded = np.concatenate([[-1.0], changes, [-1.0]])
    local = (padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:])
    found = np.flatnonzero(local & (changes >= threshold))
    return [int(i) for i in found[np.argsort(-changes[found], kind="stable")]]


def _frames(before_s: float, after_s: float, rate: float) -> range:
    return range(round(before_s * rate), round(after_s * rate) + 1)


def _largest(changes: dict[tuple[float, float], float], before_s: float, after_s: float) -> float | None:
    """When the largest change between two looks was: the time of the later frame of its pair."""
    inside = {
        pair: change
        for pair, change in changes.items()
        if pair[0] >= before_s - 1e-6 and pair[1] <= after_s + 1e-6
    }
    return max(inside, key=lambda pair: inside[pair])[1] if inside else None
