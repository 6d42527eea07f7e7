"""Where a clip cuts from one shot to another, to the frame.

Every picture is compared with the one before it. A cut is a change that is large, and many times larger than the
changes around it: a pan or a shaken camera changes as much from picture to picture, and cuts nothing. The rule and
its two numbers are those of PySceneDetect's AdaptiveDetector; hue goes around here, and pictures are small.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.media.library import ClipFacts
from tempo_core.video import sample

SIZE = (48, 64)
"""Height and width of the pictures that are compared."""
CHUNK_FRAMES = 3000
"""Pictures that are read at a time: 28 MB."""
LEAST_CHANGE = 15 / 255
LEAST_RATIO = 3.0
"""A cut changes at least so many times as much as its neighbours do on average."""
NEIGHBOURS = 2
"""Changes on either side that count as neighbours."""
LEAST_SHOT_S = 0.4


def find_shots(clip: Path, facts: ClipFacts, *, cancel: threading.Event) -> list[int]:
    """Milliseconds at which a new shot begins: the start of the first frame that shows it, sorted.

    Raises VideoError, Cancelled.
    """
    rate = facts.frame_rate or 25.0
    times_s: list[float] = []
    changes: list[npt.NDArray[np.float64]] = []
    for chunk_times_s, frames in _chunks(clip, facts, rate, cancel):
        times_s.extend(chunk_times_s[1:])
        changes.append(content_changes(frames))
    if not changes:
        return []
    shots_s: list[float] = []
    for idx in cuts(np.concatenate(changes)):
        if not shots_s or times_s[idx] - shots_s[-1] >= LEAST_SHOT_S:
            shots_s.append(times_s[idx])
    return [round(time_s * 1000) for time_s in shots_s]


def _chunks(
    clip: Path, facts: ClipFacts, rate: float, cancel: threading.Event
) -> Iterator[tuple[list[float], npt.NDArray[np.uint8]]]:
    """Times and pictures uint8[T, H, W, 3] in order; a chunk begins with the last picture of the one before."""
    count = facts.frame_count or max(1, round(facts.duration_s * rate))
    for first in range(0, count - 1, CHUNK_FRAMES):
        frame_idx = range(first, min(count, first + CHUNK_FRAMES + 1))
        at_s = [min((idx + 0.5) / rate, facts.duration_s - 0.001) for idx in frame_idx]
        video = sample(clip, at=at_s, size=SIZE, cancel=cancel)
        yield [float(time_s) for time_s in video.times_s], video.frames


def content_changes(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """How much each picture of uint8[T, H, W, 3] differs from the one before, float64[T - 1] in [0, 1].

    The mean over pixels of the differences of hue, saturation and brightness, a third each.
    """
    pictures = np.stack(
        [np.asarray(Image.fromarray(frame).convert("HSV"), dtype=np.int16) for frame in frames]
    )
    difference = np.abs(np.diff(pictures, axis=0))
    difference[..., 0] = np.minimum(difference[..., 0], 256 - difference[..., 0])  # hue is a circle
    return np.asarray(difference.mean(axis=(1, 2, 3)) / 255, dtype=np.float64)


def cuts(changes: npt.NDArray[np.float64]) -> list[int]:
    """Indices of changes that are at least LEAST_CHANGE and LEAST_RATIO times their neighbours' mean."""
    if len(changes) == 0:
        return []
    padded = np.pad(changes, NEIGHBOURS, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    around = np.delete(windows, NEIGHBOURS, axis=1)
    known = ~np.isnan(around)
    means = np.where(known, around, 0.0).sum(axis=1) / np.maximum(1, known.sum(axis=1))
    is_cut = (changes >= LEAST_CHANGE) & (changes >= LEAST_RATIO * means)
    return [int(idx) for idx in np.flatnonzero(is_cut)]
