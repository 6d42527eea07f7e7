"""Soccer-GMR: one, many or no moment a query (arXiv 2605.02623), by its authors' evaluator.

Source: dymm9977/generalized-moment-retrieval, `eval/eval_main.py`. The existence score of a query is its P(relevant)
(`pred_exist_score` or `relevance`), else 0 for a refusal, else its best window's score. `AUROC`, `Rej-F1` and `Acc`
(at existence .4 and .6) are over all queries; `G-mIoU@k` over all queries, the windows taken away where existence is
.4 or less; `mAP`, `mR@k`, `mR+@k` (a second and further moments) and `mIoU@k` over queries with a moment.

Its faults, kept: a pair of windows that do not overlap is matched in `G-mIoU@k`, where the paper asks for IoU > 0; it
shrinks the union, so stray windows cost less than they should. `mIoU@k` is the mean over matched pairs only: moments
that were not found do not lower it. `AUROC` is .5 when one class is absent. Windows that end before they start are
dropped from `G-mIoU@k` alone. Queries that only one file has are left out. Ground truth is cut at the duration,
sorted and freed of doubles first; a moment of which nothing is left makes its query one without a moment.
"""

from collections.abc import Sequence

import numpy as np

from tempo_core.metrics.arrays import Floats, Windows, cross_iou, pad
from tempo_core.metrics.measures import auroc
from tempo_core.metrics.official import rank
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.ranking import IOU_THRESHOLDS, average_precision
from tempo_core.metrics.rows import PredictionRow, TruthRow, Window
from tempo_core.metrics.rules.base import (
    ALL_MATCH,
    RuleScores,
    Scores,
    greedy_match,
    hundredths,
    listed_windows,
    predictions_of,
)

TOP = (1, 3, 5)
EXISTENCE_THRESHOLDS = (0.4, 0.6)
GATE = 0.4


def score(pairs: Pairs) -> RuleScores:
    """The evaluator's `brief`, and the details under its own names."""
    truth = pad([moments(row) for row in pairs.truth])
    listed = listed_windows(pairs)
    exists = np.array([existence(row) for row in predictions_of(pairs)])
    has_moment = truth.counts > 0

    rejection: Scores = {
        "AUROC": hundredths(auroc(exists, has_moment)) if 0 < has_moment.sum() < len(truth) else 50.0,
        "per_threshold": {},
    }
    for threshold in EXISTENCE_THRESHOLDS:
        predicts_moment = exists > threshold
        refused_right, refused = int((~predicts_moment & ~has_moment).sum()), int((~predicts_moment).sum())
        without = int((~has_moment).sum())
        precision = refused_right / refused if refused else 0.0
        recall = refused_right / without if without else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
        rejection["per_threshold"][str(threshold)] = {
            "Rej-F1": hundredths(f1),
            "Acc": hundredths(float(np.mean(predicts_moment == has_moment))),
            "Rej-P": hundredths(precision),
            "Rej-R": hundredths(recall),
        }

    possible = [[window for window in row if window[1] > window[0]][: TOP[-1]] for row in listed]
    gated = pad([row if sure > GATE else [] for row, sure in zip(possible, exists, strict=True)])
    set_overlap = {k: matched_set_iou(gated.first(k), truth) for k in TOP}

    ranked = rank(listed).take(has_moment)
    top, positive = pad([row[: TOP[-1]] for row in listed]).take(has_moment), truth.take(has_moment)
    notes = []
    if not len(positive):
        notes.append("No query has a moment: the evaluator stops there, so localisation is not defined.")
    several = positive.counts >= 2
    iou = cross_iou(top, positive)
    hits, best = np.isfinite(greedy_match(iou, IOU_THRESHOLDS)), greedy_match(iou, [ALL_MATCH])[..., 0]
    details: dict[str, Scores] = {name: {} for name in ("mR", "mR+", "mIoU", "mIoU+")}
    for k in TOP:
        hit_counts = hits[:, :k].sum(axis=1)  # [N, T]
        per_threshold = {
            "mR": _means(hit_counts / positive.counts[:, None]),
            "mR+": _means(np.maximum(hit_counts - 1, 0)[several] / (positive.counts[several] - 1)[:, None]),
        }
        for name, recalls in per_threshold.items():
            details[name][f"{name}@{k}"] = hundredths(float(np.mean(recalls)))
            details[name][f"{name}@{k}_per_IoU"] = {
                f"{t:.2f}": hundredths(float(value)) for t, value in zip(IOU_THRESHOLDS, recalls, strict=True)
            }
        pair_iou, pair_counts = np.nan_to_num(best[:, :k]), np.isfinite(best[:, :k]).sum(axis=1)
        total = pair_iou.sum(axis=1)
        matched_mean = np.divide(total, pair_counts, out=np.zeros_like(total), where=pair_counts > 0)
        other_iou = np.where(pair_counts > 1, total - pair_iou.max(axis=1, initial=0.0), 0.0)
        others_mean = other_iou / np.maximum(pair_counts - 1, 1)
        details["mIoU"][f"mIoU@{k}"] = hundredths(_mean(matched_mean))
        details["mIoU+"][f"mIoU+@{k}"] = hundredths(_mean(others_mean[several]))
    ap: Floats = _means(average_precision(ranked, positive))
    average = {f"{t:.2f}": hundredths(float(value)) for t, value in zip(IOU_THRESHOLDS, ap, strict=True)}
    localisation: Scores = {"mAP": hundredths(float(ap.mean()))}
    for name, detail in details.items():
        localisation |= {f"{name}@{k}": detail[f"{name}@{k}"] for k in TOP}
    if not len(positive):
        localisation = dict.fromkeys(localisation)
    brief: Scores = {"AUROC": rejection["AUROC"]}
    for name, values in rejection["per_threshold"].items():
        brief |= {f"Rej-F1@{name}": values["Rej-F1"], f"Acc@{name}": values["Acc"]}
    brief |= {f"G-mIoU@{k}": hundredths(_mean(set_overlap[k])) for k in TOP} | localisation
    scores: Scores = {"brief": brief, "GMR-CLS": rejection}
    if len(positive):
        scores |= {
            "mAP_detail": {"AP@IoU": average},
            "mR_detail": details["mR"],
            "mR+_detail": details["mR+"],
        }
    first_recall = details["mR"]["mR@1_per_IoU"]
    gate = rejection["per_threshold"][str(GATE)]
    return RuleScores(
        scores=scores,
        quantities={
            "mAP": brief["mAP"],
            "R@0.5": first_recall["0.50"],
            "R@0.7": first_recall["0.70"],
            "mean IoU": brief[f"G-mIoU@{TOP[-1]}"],
            "refusal F1": gate["Rej-F1"],
            "refusal recall": gate["Rej-R"],
        },
        overlap=set_overlap[TOP[-1]],
        notes=tuple(notes),
    )


def existence(row: PredictionRow) -> float:
    """P(some moment matches) as the row says it, else 0 for a refusal, else its best window's score, else 0."""
    if row.relevance is not None:
        return row.relevance
    return 0.0 if row.has_refused else max((window[2] for window in row.windows or ()), default=0.0)


def moments(row: TruthRow) -> Sequence[Window]:
    """The ground truth cut at the duration, in order, without doubles."""
    longest = np.inf if row.duration_s is None else row.duration_s
    cut = {(start, min(end, longest)) for start, end in row.windows}
    return sorted((start, end) for start, end in cut if end > start)


def matched_set_iou(predicted: Windows, truth: Windows) -> Floats:
    """[N] sum of matched IoU over windows of both sides, a pair counted once; both empty 1, one empty 0."""
    matched = greedy_match(cross_iou(predicted, truth), [0.0])[..., 0]
    either = predicted.counts + truth.counts - np.isfinite(matched).sum(axis=1)
    total = np.nansum(matched, axis=1)
    return np.where(either == 0, 1.0, total / np.maximum(either, 1))


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if values.size else 0.0


def _means(values: Floats) -> Floats:
    """[T] means over queries [N, T]; 0 where there are none."""
    return values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
