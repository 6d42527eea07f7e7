"""Average precision of ranked windows, for every query and threshold at once.

The matching is ActivityNet's: in order of score, each window takes the free ground-truth window that it fits best.
Source: the public detection evaluation of ActivityNet, as QVHighlights uses it (moment_detr, `standalone_eval`).
"""

import numpy as np

from tempo_core.metrics.arrays import Bools, Floats, Windows, any_along, cross_iou

IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
LENGTH_RANGES_S = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0)}
"""Half-open from the left, (shortest, longest], as the data set's authors cut them."""
MAX_WINDOWS = 10
"""Ranked windows of one query that count."""

_ROWS_AT_ONCE = 4096  # bounds the [rows, T, G] masks to some ten megabytes


def average_precision(
    predicted: Windows, truth: Windows, *, outside: Bools | None = None, excusable: Bools | None = None
) -> Floats:
    """[N, T] average precision of each query's windows, which must stand in descending order of score.

    `outside` [N, G] marks ground truth that is neither to be found nor held against the window that finds it;
    `excusable` [N, P] marks windows that, when they hit nothing, are left out instead of counted as wrong.
    NaN where a query has no ground truth that counts; 0 where it has no predictions.
    """
    outside = np.zeros_like(truth.valid) if outside is None else outside
    excusable = np.zeros_like(predicted.valid) if excusable is None else excusable
    thresholds = np.array(IOU_THRESHOLDS)
    parts = [np.zeros((0, len(thresholds)))]
    for start in range(0, len(truth), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(truth)))
        some = truth.take(rows)
        hits, counted = _match(predicted.take(rows), some, thresholds, outside[rows], excusable[rows])
        true_positives = hits.cumsum(axis=1, dtype=np.float64)  # [N, P, T]
        ranks = counted.cumsum(axis=1, dtype=np.float64)
        precision = np.divide(true_positives, ranks, out=np.zeros_like(ranks), where=ranks > 0)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        positives = (some.valid & ~outside[rows]).sum(axis=1).astype(np.float64)
        with np.errstate(invalid="ignore"):
            recall = true_positives / positives[:, None, None]
        gained = np.diff(recall, axis=1, prepend=np.zeros_like(recall[:, :1]))
        parts.append((gained * envelope).sum(axis=1))
    return np.concatenate(parts)


def _match(
    predicted: Windows, truth: Windows, thresholds: Floats, outside: Bools, excusable: Bools
) -> tuple[Bools, Bools]:
    """[N, P, T] which windows hit, and which count at all."""
    # A NaN is never below a threshold, so the evaluator takes such a window first: the best fit there can be.
    iou = np.nan_to_num(cross_iou(predicted, truth), nan=np.inf, posinf=np.inf)
    rows, columns = iou.shape[:2]
    free = np.repeat((truth.valid & ~outside)[:, None, :], len(thresholds), axis=1)  # [N, T, G]
    hits = np.zeros((rows, columns, len(thresholds)), dtype=bool)
    counted = np.repeat(predicted.valid[:, :, None], len(thresholds), axis=2)
    last = truth.valid.shape[1] - 1
    for rank in range(columns):
        near = iou[:, rank, None, :] >= thresholds[:, None]  # [N, T, G]
        fits = np.where(near & free, iou[:, rank, None, :], -1.0)
        best = last - fits[..., ::-1].argmax(
            axis=2
        )  # of equal fits the last, as a reversed stable sort gives
        hit = any_along(near & free, 2)
        hits[:, rank] = hit
        np.put_along_axis(
            free, best[..., None], np.take_along_axis(free, best[..., None], 2) & ~hit[..., None], 2
        )
        excused = ~hit & (excusable[:, rank, None] | any_along(near & outside[:, None, :], 2))
        counted[:, rank] &= ~excused
    return hits, counted
