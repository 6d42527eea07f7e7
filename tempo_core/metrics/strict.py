"""QVHighlights scores with the official evaluator's faults mended, in the official layout.

What is mended: impossible windows are left out and reported; windows are sorted by score before ten of them are kept;
an empty, refused or missing prediction scores 0 and stays in every mean; rows where nothing matches belong to the
refusal measures and are not counted here; in a length group, a window that finds a moment of another length is not
held against the model, nor is a stray window of another length (as COCO treats object sizes); highlight scores leave
out the annotators for whom no clip is positive, and a clip without a score ranks last instead of at 0.
"""

from collections.abc import Sequence

import numpy as np

from tempo_core.metrics.arrays import Bools, Floats, Windows, any_along, cross_iou
from tempo_core.metrics.highlights import MIN_RATINGS, clip_average_precision, hit_at_one, pad_saliency, rate
from tempo_core.metrics.official import Scores, arrange, percent
from tempo_core.metrics.pairing import Answers, Pairs
from tempo_core.metrics.ranking import IOU_THRESHOLDS, LENGTH_RANGES_S, average_precision


def strict_scores(pairs: Pairs, answers: Answers) -> tuple[Scores, dict[str, float | None]]:
    """The scores in the official layout and the mean IoU of each length group in percent; None where no row counts."""
    truth = pairs.truth_windows
    relevant = truth.counts > 0
    scores, mean_iou = strict_retrieval(answers.ranked.take(relevant), truth.take(relevant))
    return arrange(scores | _highlight_scores(pairs)), mean_iou


def strict_retrieval(ranked: Windows, truth: Windows) -> tuple[Scores, dict[str, float | None]]:
    """Moment-retrieval scores of each length group, for queries that have a moment.

    `ranked` holds at most ten windows of each, best score first.
    """
    scores: Scores = {}
    mean_iou: dict[str, float | None] = {}
    ranges = LENGTH_RANGES_S | {"long": (LENGTH_RANGES_S["long"][0], np.inf), "full": (0.0, np.inf)}
    for name, (shortest, longest) in ranges.items():
        inside = truth.valid & (shortest < truth.lengths_s) & (truth.lengths_s <= longest)
        rows = any_along(inside, 1)
        some, moments, counted = ranked.take(rows), truth.take(rows), inside[rows]
        excusable = ~((shortest < some.lengths_s) & (some.lengths_s <= longest))
        outside = moments.valid & ~counted
        ap = average_precision(some, moments, outside=outside, excusable=excusable)
        # the best window; finding a moment of another length is not counted
        fits = cross_iou(some.first(), moments)[:, 0]
        hits = np.where(counted, fits, 0.0).max(axis=1, initial=0.0)
        misses = np.where(outside, fits, 0.0).max(axis=1, initial=0.0)
        recall = [percent(mean((hits >= t)[(hits >= t) | (misses < t)])) for t in IOU_THRESHOLDS]
        names = [str(threshold) for threshold in IOU_THRESHOLDS]
        mean_ap = [percent(mean(ap[:, t])) for t in range(len(names))]
        scores[name] = {
            "MR-mAP": dict(zip(names, mean_ap, strict=True)) | {"average": percent(mean(ap))},
            "MR-R1": dict(zip(names, recall, strict=True)),
        }
        mean_iou[name] = percent(mean(hits[hits >= misses]))
    return scores, mean_iou


def mean(values: Floats | Bools) -> float:
    """The mean, or NaN of nothing without a warning."""
    return float(np.mean(values)) if values.size else float("nan")


def _highlight_scores(pairs: Pairs) -> Scores:
    predicted = [row.saliency if row and not row.has_refused else None for row in pairs.predictions]
    rated = [idx for idx, row in enumerate(pairs.truth) if row.clip_ids]
    if not rated or not any(predicted):
        return {}
    saliency: Sequence[Sequence[float] | None] = [predicted[row] for row in rated]
    ratings = rate([pairs.truth[row] for row in rated])
    scores = pad_saliency(saliency, ratings.valid.shape[1], fill=None)
    has_saliency = np.array([row is not None for row in saliency], dtype=bool)
    layout: Scores = {}
    for name, rating in MIN_RATINGS.items():
        positive: Bools = (ratings.scores >= rating) & ratings.valid[..., None]
        ap = clip_average_precision(positive, scores, ratings.valid) * has_saliency[:, None]
        hits = hit_at_one(positive, saliency)
        layout[f"HL-min-{name}"] = {
            "HL-mAP": percent(mean(ap[any_along(positive, 1)])),
            "HL-Hit1": percent(mean(hits[any_along(positive, (1, 2))])),
        }
    return layout
