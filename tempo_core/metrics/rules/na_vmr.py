"""NA-VMR: negative-aware moment retrieval (Moment of Untruth, WACV 2025), by its authors' evaluator.

Source: keflanagan/MomentofUntruth, `UniVTG-NA/negative_aware_results.py`. A query is rejected where P(relevant)
(`pred_class` or `relevance`) is below .5; without one, where the row refuses. Rejection accuracy is over queries
without a moment; recall of the first window in the list over those with one, a rejected query being a miss. Percent
with two decimals.

Its faults, kept: a file that rejects everything has the best rejection accuracy there is, and over-refusal is told
apart from a wrong window nowhere. The first window is that of the list's order, not of the score. An IoU exactly at a
threshold does not reach it. Not kept: a row without a window stops the evaluator; here it is a miss. Rows meet by
their place in the two files there, and by qid here.
"""

import numpy as np

from tempo_core.metrics.arrays import hull_iou, pad
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.rules.base import RuleScores, Scores, hundredths, listed_windows, predictions_of

THRESHOLDS = (0.3, 0.5, 0.7)
RELEVANT_FROM = 0.5


def score(pairs: Pairs) -> RuleScores:
    """Rejection accuracy and recall, under the names that the evaluator prints."""
    relevance = np.array(
        [
            float(not row.has_refused) if row.relevance is None else row.relevance
            for row in predictions_of(pairs)
        ]
    )
    accepted = relevance >= RELEVANT_FROM
    first, truth = pad([row[:1] for row in listed_windows(pairs)]), pairs.truth_windows
    has_moment = truth.counts > 0
    iou = np.where(truth.valid, hull_iou(first.edges, truth.edges), 0.0).max(axis=1)
    iou = np.where(first.valid[:, 0] & accepted, iou, 0.0)
    without = ~has_moment
    scores: Scores = {
        "Rejection Accuracy": hundredths(float(np.mean(~accepted[without]))) if without.any() else None
    }
    for threshold in THRESHOLDS:
        recall = np.mean(iou[has_moment] > threshold) if has_moment.any() else np.nan
        scores[f"Recall@1, IoU@{threshold}"] = hundredths(float(recall))
    notes = []
    if not (has_moment.any() and without.any()):
        notes.append("The evaluator divides by zero unless some query has a moment and some has none.")
    return RuleScores(
        scores=scores,
        quantities={
            "R@0.5": scores["Recall@1, IoU@0.5"],
            "R@0.7": scores["Recall@1, IoU@0.7"],
            "refusal recall": scores["Rejection Accuracy"],
        },
        overlap=np.where(has_moment, iou, np.nan),
        notes=tuple(notes),
    )
