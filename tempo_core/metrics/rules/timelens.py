"""TimeLens-Bench: one moment a query (arXiv 2512.14698), by its authors' evaluator.

Source: TencentARC/TimeLens, `evaluation/compute_metrics.py`. Mean IoU of the first moment of the answer, and the
share of queries at .3, .5 and .7, in percent, not rounded.

Its faults, kept: only the first moment said counts, the others are passed over with a printed warning. A query has
exactly one moment; the evaluator stops on others, so they are left out here and counted in a note. An answer without a
moment, a refusal too, is IoU 0. The IoU is taken against the hull of the two. Not kept: rows are keyed by video, query
and moment, so that of two equal rows only the last is scored there.
"""

import numpy as np

from tempo_core.metrics.arrays import hull_iou
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.rules.base import RuleScores, answers

THRESHOLDS = (0.3, 0.5, 0.7)
NAMES = (*(f"IOU {threshold}" for threshold in THRESHOLDS), "mIOU")


def score(pairs: Pairs) -> RuleScores:
    """The four numbers under the names that the evaluator prints."""
    stated, truth = answers(pairs), pairs.truth_windows
    single = truth.counts == 1
    iou = np.where(stated.valid[:, 0], hull_iou(stated.edges[:, 0], truth.edges[:, 0]), 0.0)
    scored = iou[single]
    values = [float((scored >= threshold).sum()) for threshold in THRESHOLDS] + [float(scored.sum())]
    notes = []
    if other_count := int((~single).sum()):
        notes.append(
            f"{other_count} queries do not have exactly one moment and are left out: the evaluator cannot read them."
        )
    scores = {
        name: 100 * value / len(scored) if len(scored) else None
        for name, value in zip(NAMES, values, strict=True)
    }
    return RuleScores(
        scores=scores,
        quantities={"R@0.5": scores["IOU 0.5"], "R@0.7": scores["IOU 0.7"], "mean IoU": scores["mIOU"]},
        overlap=np.where(single, iou, np.nan),
        notes=tuple(notes),
    )
