"""OMTG Bench: one query, many moments (arXiv 2606.06294), by the evaluator its authors gave to VLMEvalKit.

Source: open-compass/VLMEvalKit, `vlmeval/dataset/omtgbench.py`. `C-Acc` is the share of queries with the right number
of moments, `tF1@t` the F1 of the assignment of greatest total IoU, `EtF1` the mean of the three F1 where the number is
right and 0 elsewhere, `tIoU` the IoU of the two unions; all in percent, not rounded.

Its faults, kept: where both sides are empty every score is 1 but `tIoU` is 0. Merging for `tIoU` changes the first
segment itself: windows that overlap or touch the earliest one lengthen it before `tF1` is computed, while the ones
they swallowed stay, and the same happens to the ground truth. A window that ends before it starts is dropped unseen.
"""

import numpy as np

from tempo_core.metrics.arrays import Floats, Ints, cross_iou, pad, set_iou
from tempo_core.metrics.measures import assign
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.rules.base import RuleScores, Scores, answers

THRESHOLDS = (0.3, 0.5, 0.7)


def score(pairs: Pairs) -> RuleScores:
    """The evaluator's numbers, in its order."""
    predicted = answers(pairs)
    possible = predicted.keep(predicted.lengths_s > 0)
    truth = pairs.truth_windows
    count_right = possible.counts == truth.counts
    empty = (possible.counts == 0) & (truth.counts == 0)
    overlap = np.where(empty, 0.0, set_iou(possible, truth))
    segments = [lengthen_first(possible.edges[row, :count]) for row, count in enumerate(possible.counts)]
    moments = [lengthen_first(truth.edges[row, :count]) for row, count in enumerate(truth.counts)]
    iou = cross_iou(pad(segments), pad(moments))
    hits: Ints = np.zeros((len(truth), len(THRESHOLDS)), dtype=np.int64)
    for row in range(len(truth)):
        pairs_iou = iou[row, : len(segments[row]), : len(moments[row])]
        hits[row] = (pairs_iou[assign(pairs_iou)][:, None] >= np.array(THRESHOLDS)).sum(axis=0)
    n_predicted, n_true = possible.counts[:, None], truth.counts[:, None]
    precision = np.where(empty[:, None], 1.0, hits / np.maximum(n_predicted, 1))
    recall = np.where(empty[:, None], 1.0, hits / np.maximum(n_true, 1))
    total = precision + recall
    f1: Floats = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    scores: Scores = {
        "tIoU": 100 * float(overlap.mean()),
        "C-Acc": 100 * float(count_right.mean()),
        "EtF1": 100 * float((count_right * f1.mean(axis=1)).mean()),
    }
    for column, threshold in enumerate(THRESHOLDS):
        scores[f"tF1@{threshold}"] = 100 * float(f1[:, column].mean())
        scores[f"tP@{threshold}"] = 100 * float(precision[:, column].mean())
        scores[f"tR@{threshold}"] = 100 * float(recall[:, column].mean())
    return RuleScores(scores=scores, quantities={"mean IoU": scores["tIoU"]}, overlap=overlap)


def lengthen_first(segments: Floats) -> Floats:
    """Segments [K, 2], the earliest lengthened by those that overlap or touch it, as the evaluator's merging does."""
    segments = segments.copy()
    order = np.argsort(segments[:, 0], kind="stable")
    for place in order[1:]:
        if segments[place, 0] > segments[order[0], 1]:
            break
        segments[order[0], 1] = max(segments[order[0], 1], segments[place, 1])
    return segments
