"""Moments: half-open intervals [start, end) of a video, and the arithmetic on lists of them.

Every unit conversion for time lives here: seconds inside the model, integer milliseconds in the store.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tempo_core.errors import InputError


@dataclass(frozen=True, order=True, slots=True)
class Moment:
    """A half-open interval [start_s, end_s) of a video, in seconds from its first shown frame."""

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s)):
            raise InputError(f"A moment needs finite times; got [{self.start_s}, {self.end_s}).")
        if self.end_s <= self.start_s:
            raise InputError(f"A moment must end after it starts; got [{self.start_s}, {self.end_s}).")

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    def to_ms(self) -> tuple[int, int]:
        """Start and end in whole milliseconds, rounded to nearest, never empty."""
        start_ms = round(self.start_s * 1000)
        return start_ms, max(round(self.end_s * 1000), start_ms + 1)

    @classmethod
    def from_ms(cls, start_ms: int, end_ms: int) -> "Moment":
        return cls(start_ms / 1000, end_ms / 1000)


def moments_from_pairs(pairs: Iterable[Sequence[float]]) -> list[Moment]:
    """Moments from [start, end] pairs in seconds, in the order given. Raises InputError on a broken pair."""
    return [Moment(float(pair[0]), float(pair[1])) for pair in pairs]


def moments_between(pairs: Iterable[tuple[int, int]], times_s: Sequence[float]) -> list[Moment]:
    """Moments from (start, end) pairs of indices into times in seconds: true ones, not what stamps round them to."""
    return [Moment(float(times_s[start]), float(times_s[end])) for start, end in pairs]


def merge(moments: Iterable[Moment]) -> list[Moment]:
    """The union as sorted moments; those that overlap or touch become one."""
    merged: list[Moment] = []
    for moment in sorted(moments):
        if merged and moment.start_s <= merged[-1].end_s:
            merged[-1] = Moment(merged[-1].start_s, max(merged[-1].end_s, moment.end_s))
        else:
            merged.append(moment)
    return merged


def total_s(moments: Iterable[Moment]) -> float:
    """Seconds covered by the union of the moments."""
    return sum(moment.duration_s for moment in merge(moments))


def iou(a: Moment, b: Moment) -> float:
    """Temporal intersection over union of two moments, in [0, 1]."""
    shared = max(0.0, min(a.end_s, b.end_s) - max(a.start_s, b.start_s))
    return shared / (a.duration_s + b.duration_s - shared)


def set_iou(predicted: Iterable[Moment], truth: Iterable[Moment]) -> float:
    """IoU of the two unions: 1 when both are empty, 0 when exactly one is."""
    a, b = merge(predicted), merge(truth)
    if not a or not b:
        return 1.0 if not a and not b else 0.0
    shared = intersection_s(a, b)
    return shared / (total_s(a) + total_s(b) - shared)


def intersection_s(a: Sequence[Moment], b: Sequence[Moment]) -> float:
    """Seconds that two sorted, non-overlapping lists share. Linear in their lengths."""
    shared, i, j = 0.0, 0, 0
    while i < len(a) and j < len(b):
        shared += max(0.0, min(a[i].end_s, b[j].end_s) - max(a[i].start_s, b[j].start_s))
        if a[i].end_s <= b[j].end_s:
            i += 1
        else:
            j += 1
    return shared


def clip_to(moments: Iterable[Moment], end_s: float) -> list[Moment]:
    """The moments cut to [0, end_s); those outside disappear."""
    cut = ((max(0.0, m.start_s), min(end_s, m.end_s)) for m in moments)
    return [Moment(start, end) for start, end in cut if end > start]
