"""Scores of an answer as a set of moments: overlap, moments found, their number, their edges in seconds."""

from dataclasses import dataclass

import numpy as np

from tempo_core.metrics.arrays import Bools, Floats, Ints, Windows, any_along, cross_iou, set_iou

SET_THRESHOLDS = (0.3, 0.5, 0.7)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetScores:
    """How well each query's set of moments fits, [N] each, and the edges of the moments that fit one another,
    [M].
    """

    iou: Floats
    f1: Floats
    """[N, 3] at IoU .3, .5 and .7; 1 where both sides are empty."""
    count_correct: Bools
    start_error_s: Floats
    """[M] predicted minus true start of every matched moment."""
    end_error_s: Floats
    error_rows: Ints
    """[M] the query that each matched moment belongs to."""


def score_sets(predicted: Windows, truth: Windows) -> SetScores:
    """Set scores of possible windows (each ends after it starts)."""
    iou = cross_iou(predicted, truth)
    sizes = predicted.counts + truth.counts
    f1 = np.ones((len(truth), len(SET_THRESHOLDS)))
    for column, threshold in enumerate(SET_THRESHOLDS):
        matched = 2.0 * matched_counts(iou >= threshold)
        f1[:, column] = np.divide(matched, sizes, out=np.ones_like(matched), where=sizes > 0)
    rows, predicted_idx, truth_idx = matched_moments(iou)
    errors = predicted.edges[rows, predicted_idx] - truth.edges[rows, truth_idx]
    return SetScores(
        iou=set_iou(predicted, truth),
        f1=f1,
        count_correct=predicted.counts == truth.counts,
        start_error_s=errors[:, 0],
        end_error_s=errors[:, 1],
        error_rows=rows,
    )


def matched_counts(near: Bools) -> Ints:
    """[N] the most pairs that can be made, each window used once, where `near` [N, P, G] allows a pair."""
    counts = near.sum(axis=(1, 2), dtype=np.int64)
    for row in np.flatnonzero(_contested(near)):
        predicted_idx, truth_idx = _assign(near[row].astype(np.float64))
        counts[row] = int(near[row][predicted_idx, truth_idx].sum())
    return counts


def matched_moments(iou: Floats) -> tuple[Ints, Ints, Ints]:
    """Query, predicted and true index of every pair in the matching of greatest total IoU; only pairs that
    overlap.
    """
    overlap = iou > 0
    contested = _contested(overlap)
    parts = [np.argwhere(overlap & ~contested[:, None, None])]
    for row in np.flatnonzero(contested):
        predicted_idx, truth_idx = _assign(np.maximum(iou[row], 0.0))
        overlaps = iou[row][predicted_idx, truth_idx] > 0
        rows = np.full(int(overlaps.sum()), row)
        parts.append(np.stack([rows, predicted_idx[overlaps], truth_idx[overlaps]], axis=1))
    pairs = np.concatenate(parts)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return pairs[:, 0], pairs[:, 1], pairs[:, 2]


def _contested(near: Bools) -> Bools:
    """[N] whether some window could be paired with more than one: only then is there anything to choose."""
    return any_along(near.sum(axis=1) > 1, 1) | any_along(near.sum(axis=2) > 1, 1)


def _assign(gain: Floats) -> tuple[Ints, Ints]:
    from scipy.optimize import linear_sum_assignment  # half a second of CPU to import, and seldom needed

    predicted_idx, truth_idx = linear_sum_assignment(gain, maximize=True)
    return predicted_idx, truth_idx
