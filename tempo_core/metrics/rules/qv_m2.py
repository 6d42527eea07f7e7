"""QV-M2: several moments a query (FlashMMR, NeurIPS 2025), by its authors' evaluator.

Source: Zhuo-Cao/QV-M2, `standalone_eval/eval.py`. It prints G-mAP (`MR-full-mAP`), mAP by how many moments a query
has (`mAP@1_tgt`, `mAP@2_tgt`, `mAP@3+tgt`), `mIoU@k` and `mRk` for the first k = 1, 2, 3 windows of the list.

Its faults, kept: a query without windows drops out of every mAP. `mRk` and `mIoU@k` count only queries for which the
model gives k windows or more, so whoever answers with fewer is not held to it. `mAP@3+tgt` is the mean over the
numbers of moments (3, 4, 5, ...), not over queries: one query with nine moments weighs as much as all with three.
`MR-mRk` is the mean of numbers that are already rounded. A row without moments makes G-mAP NaN. Without a query that
has exactly one moment, or exactly two, in some length group it stops with KeyError. Length groups filter the ground
truth alone, as in QVHighlights.
"""

import numpy as np

from tempo_core.metrics.arrays import Floats, Windows, cross_iou, pad
from tempo_core.metrics.official import percent, rank
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.ranking import LENGTH_RANGES_S, average_precision
from tempo_core.metrics.rules.base import ALL_MATCH, RuleScores, Scores, greedy_match, listed_windows

TOP = (1, 2, 3)
RECALL_THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(14))


def score(pairs: Pairs) -> RuleScores:
    """The scores of each length group in the evaluator's nesting, under a `brief` of the numbers of all lengths."""
    listed = listed_windows(pairs)
    top, ranked, truth = pad([row[: TOP[-1]] for row in listed]), rank(listed), pairs.truth_windows
    scores: Scores = {}
    notes = []
    for name, (shortest, longest) in LENGTH_RANGES_S.items():
        within = truth.keep((shortest < truth.lengths_s) & (truth.lengths_s <= longest))
        rows = within.counts > 0
        scores[name] = _group_scores(top.take(rows), ranked.take(rows), within.take(rows))
    scores["full"] = _group_scores(top, ranked, truth)
    for name, group in scores.items():
        absent = [key for key in ("1_tgt_mAP", "2_tgt_mAP") if group["MR-mAP"][key] is None]
        if absent:
            notes.append(
                f"{name}: no query with windows for {' and '.join(absent)}: the evaluator stops there."
            )
    if without := int((truth.counts == 0).sum()):
        notes.append(f"{without} queries have no moment: G-mAP over all lengths is NaN in the evaluator.")
    full = scores["full"]
    brief = {
        "MR-full-mAP": full["MR-mAP"]["Generalized_mAP"],
        "MR-full-mAP@1_tgt": full["MR-mAP"]["1_tgt_mAP"],
        "MR-full-mAP@2_tgt": full["MR-mAP"]["2_tgt_mAP"],
        "MR-full-mAP@3+tgt": full["MR-mAP"][">=3_tgt_mAP"],
        **{f"MR-full-mIoU@{k}": full[f"MR-mIoU@{k}"] for k in TOP},
        **{f"MR-full-mR{k}": full[f"MR-mR{k}"] for k in TOP},
    }
    first = greedy_match(cross_iou(top, truth)[:, :1], [ALL_MATCH])[:, 0, 0]
    return RuleScores(
        scores={"brief": brief, **scores},
        quantities={
            "mAP": brief["MR-full-mAP"],
            "R@0.5": full["MR-R1"]["0.50"],
            "R@0.7": full["MR-R1"]["0.70"],
            "mean IoU": brief["MR-full-mIoU@1"],
        },
        overlap=first,
        notes=tuple(notes),
    )


def _group_scores(top: Windows, ranked: Windows, truth: Windows) -> Scores:
    rows = ranked.counts > 0
    ap: Floats = average_precision(ranked.take(rows), truth.take(rows)).mean(axis=1)
    moments = truth.counts[rows]
    by_count = {int(count): float(ap[moments == count].mean()) for count in np.unique(moments)}
    many = [value for count, value in by_count.items() if count >= 3]
    precision = {
        "1_tgt_mAP": percent(by_count.get(1, np.nan)),
        "2_tgt_mAP": percent(by_count.get(2, np.nan)),
        ">=3_tgt_mAP": percent(sum(many) / len(many)) if many else 0.0,
        "Generalized_mAP": percent(ap.mean()) if ap.size else 0.0,
    }
    iou = cross_iou(top, truth)
    hits = np.isfinite(greedy_match(iou, RECALL_THRESHOLDS))
    best = greedy_match(iou, [ALL_MATCH])[..., 0]
    scores: Scores = {"MR-mAP": precision}
    for k in TOP:
        counted = (truth.counts >= k) & (top.counts >= k)
        total, hit_counts = k * int(counted.sum()), hits[counted, :k].sum(axis=(0, 1))
        recall = [percent(count / total) if total else 0.0 for count in hit_counts]
        pairs_iou = best[counted, :k]
        pairs_iou = pairs_iou[np.isfinite(pairs_iou)]
        scores[f"MR-R{k}"] = {f"{t:.2f}": value for t, value in zip(RECALL_THRESHOLDS, recall, strict=True)}
        # numpy's rounding, as in the evaluator: 9.365 becomes 9.36 there, and 9.37 in Python's.
        scores[f"MR-mR{k}"] = float(np.round(np.mean(np.array(recall, dtype=np.float64)), 2))
        scores[f"MR-mIoU@{k}"] = percent(np.mean(pairs_iou)) if pairs_iou.size else 0.0
    return scores
