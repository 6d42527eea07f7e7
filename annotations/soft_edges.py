"""Edges that an annotator gave a band: the moment begins, or ends, somewhere within so many seconds of the edge.

Decided here (docs/decisions/0021-soft-edges.md): bands that overlap agree. Two moments are compared at the places
within their bands where they are nearest to each other, so that without bands everything is as it was. Seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from annotations.records import EditedMoment
from tempo_core.moments import Moment, intersection_s, iou, merge

Bands = Sequence[tuple[float, float]]
"""Half widths in seconds of each moment's start and end; 0 is a hard edge. Empty: all edges are hard."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftMoment:
    """A moment with the half widths of its edges' bands.

    SoftMoment(moment=Moment(2.0, 5.0), end_band_s=0.5)  # it ends somewhere from 4.5 to 5.5 s
    """

    moment: Moment
    start_band_s: float = 0.0
    end_band_s: float = 0.0

    @classmethod
    def of(cls, edited: EditedMoment) -> "SoftMoment":
        """A moment as an annotator left it."""
        start_band_s, end_band_s = bands_of([edited])[0]
        return cls(moment=edited.moment, start_band_s=start_band_s, end_band_s=end_band_s)


def bands_of(moments: Sequence[EditedMoment]) -> list[tuple[float, float]]:
    """The bands of each moment."""
    return [
        ((edited.start_uncertainty_ms or 0) / 1000, (edited.end_uncertainty_ms or 0) / 1000)
        for edited in moments
    ]


def edge_gaps_s(a: SoftMoment, b: SoftMoment) -> tuple[float, float]:
    """How far the bands of two starts, and of two ends, lie apart; 0 where they overlap."""
    starts_s = abs(a.moment.start_s - b.moment.start_s) - a.start_band_s - b.start_band_s
    ends_s = abs(a.moment.end_s - b.moment.end_s) - a.end_band_s - b.end_band_s
    return max(0.0, starts_s), max(0.0, ends_s)


def soft_iou(a: SoftMoment, b: SoftMoment) -> float:
    """IoU of two moments after each edge went as near to the other's as its band lets it."""
    start_a, start_b = _nearest(a.moment.start_s, a.start_band_s, b.moment.start_s, b.start_band_s)
    end_a, end_b = _nearest(a.moment.end_s, a.end_band_s, b.moment.end_s, b.end_band_s)
    if start_a >= end_a or start_b >= end_b:  # a band that is wider than its moment
        return iou(a.moment, b.moment)
    return iou(Moment(start_a, end_a), Moment(start_b, end_b))


def _nearest(a_s: float, a_band_s: float, b_s: float, b_band_s: float) -> tuple[float, float]:
    """Two edges moved towards each other within their bands; the same place where the bands overlap."""
    if a_band_s == b_band_s == 0:
        return a_s, b_s
    if a_s > b_s:
        b_place, a_place = _nearest(b_s, b_band_s, a_s, a_band_s)
        return a_place, b_place
    if b_s - a_s > a_band_s + b_band_s:
        return a_s + a_band_s, b_s - b_band_s
    place_s = a_s + (b_s - a_s) * a_band_s / (a_band_s + b_band_s)
    return place_s, place_s


EdgeRange = tuple[tuple[float, float], tuple[float, float]]
"""First and last place in seconds at which a moment may start, and at which it may end."""


def nearest_truth(
    predicted: Sequence[Moment], truth: Sequence[Moment], edge_ranges_s: Sequence[EdgeRange]
) -> list[Moment]:
    """The truth at the places that its edges may have which are nearest to what was predicted.

    A true moment takes its edges from the predicted one that it shares most time with, as far as its own ranges let
    it; without any such, and without ranges (all edges are hard), it stays. The result is sorted and merged.
    """
    if not edge_ranges_s:
        return list(truth)
    moments = []
    for moment, (starts_s, ends_s) in zip(truth, edge_ranges_s, strict=True):
        closest = max(predicted, key=lambda other: intersection_s([moment], [other]), default=moment)
        if intersection_s([moment], [closest]) == 0:
            closest = moment
        start_s = max(0.0, min(max(closest.start_s, starts_s[0]), starts_s[1]))
        end_s = min(max(closest.end_s, ends_s[0]), ends_s[1])
        moments.append(Moment(start_s, end_s) if start_s < end_s else moment)
    return merge(moments)
