"""Where a clip cuts from one shot to another, to the frame.

Every picture is compared with the one before it. A place may be a cut where the change is large, and many times larger
than the changes around it: that rule and its two numbers are those of PySceneDetect's AdaptiveDetector; hue goes
around here, and pictures are small. It is none where the pictures before and after still show the same, moved or in
another light: a flash, a strobe, a lamp, a jolt. Within a pan, where everything changes, a lesser change is a cut where
the pictures on each side can be laid over each other and those across it cannot.

`python -m benchmarks shots` compares this with PySceneDetect on real and made clips.
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
PAN_RATIO = 1.3
"""The same of a cut within a steady pan."""
NEIGHBOURS = 2
"""Changes on either side that count as neighbours."""
SAME = 0.85
"""Correlation of brightness from which two pictures, laid over each other, show the same."""
STEADY = 0.7
"""The same for the pictures on each side of a cut in a pan, which is blurred and moves by parts of a pixel."""
DIFFERENT = 0.6
"""Correlation below which pictures across a cut in a pan show something else."""
LEAST_OVERLAP = 0.3
"""Share of the picture in which two must overlap to be laid over each other."""
PEAKS = 3
"""Places at which two pictures are laid over each other, beside the one without any shift."""
ACROSS = ((1, 0), (1, 1), (1, 2), (1, 3), (2, 1), (3, 2), (4, 3))
"""Pictures that are compared across a place: so many before it, and so many after its first. A flash of up to three
pictures lies between some of them."""
MARGIN = NEIGHBOURS + 4
"""Pictures beside a chunk that its first and last places are judged by."""
LEAST_SHOT_S = 0.4


def find_shots(clip: Path, facts: ClipFacts, *, cancel: threading.Event) -> list[int]:
    """Milliseconds at which a new shot begins: the start of the first frame that shows it, sorted.

    Raises VideoError, Cancelled.
    """
    rate = facts.frame_rate or 25.0
    shots_s: list[float] = []
    for places, times_s, frames in _chunks(clip, facts, rate, cancel):
        for place in cut_places(frames):
            is_new_shot = not shots_s or times_s[place] - shots_s[-1] >= LEAST_SHOT_S
            if place in places and is_new_shot:
                shots_s.append(times_s[place])
    return [round(time_s * 1000) for time_s in shots_s]


def _chunks(
    clip: Path, facts: ClipFacts, rate: float, cancel: threading.Event
) -> Iterator[tuple[range, list[float], npt.NDArray[np.uint8]]]:
    """Which pictures are this chunk's, the others being its margin; times and pictures uint8[T, H, W, 3], in order."""
    count = facts.frame_count or max(1, round(facts.duration_s * rate))
    for first in range(0, count, CHUNK_FRAMES):
        begin, end = max(0, first - MARGIN), min(count, first + CHUNK_FRAMES + MARGIN)
        at_s = [min((idx + 0.5) / rate, facts.duration_s - 0.001) for idx in range(begin, end)]
        # Decord hands whole pictures over in RGB; PyAV scales while it converts, for half the work.
        video = sample(clip, at=at_s, size=SIZE, cancel=cancel, force_reader="pyav")
        own = range(first - begin, min(count, first + CHUNK_FRAMES) - begin)
        yield own, [float(time_s) for time_s in video.times_s], video.frames


def cut_places(frames: npt.NDArray[np.uint8]) -> list[int]:
    """Indices of the pictures of uint8[T, H, W, 3] that begin a new shot, sorted."""
    if len(frames) < 2:
        return []
    changes = content_changes(frames)
    ratios = changes / np.maximum(neighbour_means(changes), 1e-9)
    brightness = frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)

    def alike(before: int, after: int) -> float:
        inside = before >= 0 and after < len(frames)
        return likeness(brightness[before], brightness[after]) if inside else -1.0

    places = []
    for idx in np.flatnonzero((changes >= LEAST_CHANGE) & (ratios >= PAN_RATIO)):
        place = int(idx) + 1
        bound = SAME
        if ratios[idx] < LEAST_RATIO:
            bound = DIFFERENT
            if min(alike(place - 2, place - 1), alike(place, place + 1)) < STEADY:
                continue
        if all(alike(place - before, place + after) < bound for before, after in ACROSS):
            places.append(place)
    return places


def content_changes(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """How much each picture of uint8[T, H, W, 3] differs from the one before, float64[T - 1] in [0, 1].

    The mean over pixels of the differences of hue, saturation and brightness, a third each.
    """
    count, height, width, _ = frames.shape
    # All pictures as one column, for one conversion.
    column = Image.fromarray(frames.reshape(count * height, width, 3))
    pictures = np.asarray(column.convert("HSV")).reshape(frames.shape)
    difference = np.maximum(pictures[1:], pictures[:-1]) - np.minimum(pictures[1:], pictures[:-1])
    difference[..., 0] = np.minimum(difference[..., 0], -difference[..., 0])  # hue is a circle of 256
    sums = difference.sum(axis=(1, 2, 3), dtype=np.int64)
    return np.asarray(sums / (height * width * 3) / 255, dtype=np.float64)


def neighbour_means(changes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean of the changes beside each, up to NEIGHBOURS on either side; float64[N], N >= 1."""
    padded = np.pad(changes, NEIGHBOURS, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    around = np.delete(windows, NEIGHBOURS, axis=1)
    is_inside = ~np.isnan(around)
    return np.asarray(np.where(is_inside, around, 0.0).sum(axis=1) / np.maximum(1, is_inside.sum(axis=1)))


def likeness(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """How alike two pictures float32[H, W] are once they are laid over each other: the largest correlation, from -1 to
    1, over no shift and the likeliest shifts by phase correlation. Another light changes nothing; flat pictures are 0.
    """
    height, width = first.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    spectra = [np.fft.rfft2((picture - picture.mean()) * window) for picture in (first, second)]
    cross = spectra[0] * np.conj(spectra[1])
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), s=first.shape).ravel()

    best = _correlation(first, second)
    for peak in np.argpartition(-peaks, PEAKS)[:PEAKS]:
        down, right = divmod(int(peak), width)
        down, right = down - height * (down > height // 2), right - width * (right > width // 2)
        if (height - abs(down)) * (width - abs(right)) >= LEAST_OVERLAP * height * width:
            shifted = first[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
            other = second[max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)]
            best = max(best, _correlation(shifted, other))
    return best


def _correlation(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 1e-6 else 0.0
