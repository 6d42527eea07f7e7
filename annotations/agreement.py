"""How well people agree with each other and with the released moments.

Headline figures are the mean matched tIoU (optimal matching, an unmatched moment counts 0) and set-F1 at
three thresholds; seconds on matched edges are what annotators understand; Krippendorff's alpha on 2-second
clips corrects for chance. Moments are in seconds; no moments at all is an answer too. Edges with a band agree with
what lies inside it (`annotations.soft_edges`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.records import Correction
from annotations.soft_edges import Bands, SoftMoment, bands_of, edge_gaps_s, soft_iou
from annotations.suspicion import CLIP_S
from tempo_core.metrics.measures import assign
from tempo_core.moments import Moment, iou

THRESHOLDS = (0.3, 0.5, 0.7)

Floats = NDArray[np.float64]
Answer = Sequence[Moment] | Sequence[SoftMoment]
"""Moments of one party, with hard edges or with bands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One party's answer to a query, as agreement sees it."""

    verdict: str
    moments: Sequence[Moment]
    bands: Bands = ()
    """Half widths of each moment's edges in seconds; () where every edge is hard."""

    @property
    def soft_moments(self) -> list[SoftMoment]:
        """The moments with their bands."""
        bands = self.bands or [(0.0, 0.0)] * len(self.moments)
        return [
            SoftMoment(moment=moment, start_band_s=start_band_s, end_band_s=end_band_s)
            for moment, (start_band_s, end_band_s) in zip(self.moments, bands, strict=True)
        ]

    @classmethod
    def of(cls, correction: Correction) -> "Version":
        """An annotator's answer."""
        edit = correction.edit
        return cls(verdict=correction.verdict, moments=edit.windows, bands=bands_of(edit.moments))


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementReport:
    """Figures over pairs of versions. A figure that nothing could be computed from is None."""

    pairs: int
    """Pairs of versions of one query compared."""
    verdict_agreement: float | None
    """Share of the pairs with one verdict."""
    mean_tiou: float | None
    """Mean over pairs of the mean matched tIoU; pairs in which somebody could not judge are left out."""
    f1: Mapping[float, float | None]
    """Mean set-F1 for each of THRESHOLDS."""
    start_median_s: float | None
    start_p75_s: float | None
    end_median_s: float | None
    end_p75_s: float | None
    alpha: float | None
    """Krippendorff's alpha (nominal) on 2-second clips; None when every clip has one value."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        figures = {name: getattr(self, name) for name in self.__slots__}
        return {**figures, "f1": {str(threshold): value for threshold, value in self.f1.items()}}


def match(a: Answer, b: Answer) -> list[tuple[int, int, float]]:
    """Pairs (index in a, index in b, IoU > 0) of the one-to-one matching with the largest sum of IoU."""
    if not a or not b:
        return []
    overlaps = _overlaps(a, b)
    rows, columns = assign(overlaps)
    pairs = [(int(i), int(j), float(overlaps[i, j])) for i, j in zip(rows, columns, strict=True)]
    return [(i, j, overlap) for i, j, overlap in pairs if overlap > 0]


def matched_tiou(a: Answer, b: Answer) -> float:
    """Sum of matched IoU over the longer list's length: 1 when both are empty, 0 when exactly one is."""
    if not a and not b:
        return 1.0
    return sum(overlap for _, _, overlap in match(a, b)) / max(len(a), len(b))


def set_f1(a: Answer, b: Answer, threshold: float) -> float:
    """2 * matches / (len(a) + len(b)), with as many one-to-one matches of IoU >= threshold as can be."""
    if not a and not b:
        return 1.0
    if not a or not b:
        return 0.0
    allowed = _overlaps(a, b) >= threshold
    rows, columns = assign(allowed.astype(float))
    return 2.0 * int(allowed[rows, columns].sum()) / (len(a) + len(b))


def krippendorff_alpha(values: Floats) -> float | None:
    """Krippendorff's alpha (nominal) of values[raters, units]; NaN marks a missing rating.

    None when no unit has two ratings or all ratings are one value.
    Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), coincidence form.
    """
    categories = np.unique(values[~np.isnan(values)])
    counts = (values[:, :, None] == categories).sum(axis=0).astype(float)  # [units, categories]
    ratings = counts.sum(axis=1)
    counts, ratings = counts[ratings >= 2], ratings[ratings >= 2]  # units that can be compared
    distance = (categories[:, None] != categories[None, :]).astype(float)
    totals, n = counts.sum(axis=0), float(ratings.sum())
    expected = float(totals @ distance @ totals) / (n - 1) if n > 1 else 0.0
    if expected == 0:
        return None
    observed = float((np.einsum("uc,ck,uk->u", counts, distance, counts) / (ratings - 1)).sum())
    return 1.0 - observed / expected


def clip_matrix(versions: Sequence[Version], duration_s: float) -> Floats:
    """Ratings[versions, clips]: 1 where a moment covers at least half of the clip, NaN for cannot-judge."""
    clips = max(1, math.ceil(duration_s / CLIP_S))
    ratings = np.zeros((len(versions), clips))
    starts_s = np.arange(clips) * CLIP_S
    for index, version in enumerate(versions):
        covered = np.zeros(clips)
        for moment in version.moments:
            ends_s = np.minimum(moment.end_s, starts_s + CLIP_S)
            covered += np.clip(ends_s - np.maximum(moment.start_s, starts_s), 0, None)
        ratings[index] = np.nan if version.verdict == "cannot-judge" else covered >= CLIP_S / 2
    return ratings


def agreement(items: Iterable[tuple[float, Sequence[Version]]]) -> AgreementReport:
    """Figures over all pairs within each item (duration in seconds, versions of one query)."""
    tious: list[float] = []
    f1s: dict[float, list[float]] = {threshold: [] for threshold in THRESHOLDS}
    edges: list[tuple[float, float]] = []
    same: list[bool] = []
    clips: list[Floats] = []
    for duration_s, versions in items:
        if len(versions) > 1:
            clips.append(clip_matrix(versions, duration_s))
        for a, b in combinations(versions, 2):
            same.append(a.verdict == b.verdict)
            if "cannot-judge" in (a.verdict, b.verdict):
                continue
            moments, other_moments = a.soft_moments, b.soft_moments
            tious.append(matched_tiou(moments, other_moments))
            edges.extend(
                edge_gaps_s(moments[i], other_moments[j]) for i, j, _ in match(moments, other_moments)
            )
            for threshold in THRESHOLDS:
                f1s[threshold].append(set_f1(moments, other_moments, threshold))
    differences = np.array(edges, dtype=float).reshape(-1, 2)
    # One matrix of all clips; raters are interchangeable, and NaN stands for rows that a query does not have.
    raters = max((matrix.shape[0] for matrix in clips), default=0)
    padded = [
        np.pad(matrix, ((0, raters - matrix.shape[0]), (0, 0)), constant_values=np.nan) for matrix in clips
    ]
    ratings = np.concatenate(padded, axis=1) if padded else np.zeros((0, 0))
    return AgreementReport(
        pairs=len(same),
        verdict_agreement=_mean(same),
        mean_tiou=_mean(tious),
        f1={threshold: _mean(values) for threshold, values in f1s.items()},
        start_median_s=_percentile(differences[:, 0], 50),
        start_p75_s=_percentile(differences[:, 0], 75),
        end_median_s=_percentile(differences[:, 1], 50),
        end_p75_s=_percentile(differences[:, 1], 75),
        alpha=krippendorff_alpha(ratings),
    )


def _overlaps(a: Answer, b: Answer) -> Floats:
    if all(isinstance(moment, Moment) for moment in (*a, *b)):
        return np.array([[iou(moment, other) for other in b] for moment in a])  # type: ignore[arg-type]
    return np.array([[soft_iou(_soft(moment), _soft(other)) for other in b] for moment in a])


def _soft(moment: Moment | SoftMoment) -> SoftMoment:
    return moment if isinstance(moment, SoftMoment) else SoftMoment(moment=moment)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _percentile(values: Floats, percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values.size else None
