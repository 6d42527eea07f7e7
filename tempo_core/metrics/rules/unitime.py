"""UniTime: the IoU of two sets of windows (arXiv 2506.18883), by its authors' evaluator.

Source: Lzq5/UniTime, `eval_metrics.py`. Mean IoU and the share of queries above .3, .5 and .7, in percent with two
decimals, from numbers of 32 bits.

Its faults, kept: windows are not merged, so one that is said twice is counted twice, in the shared length too: an IoU
can exceed 1, and where the shared length exceeds the sum of all, be negative. An IoU exactly at a threshold does not
reach it. `Rank@1` is not the first window: it is the whole answer. A query without a moment stops the evaluator, so
such rows are left out here and counted in a note; an answer without a moment, a refusal too, is the window [-1, -1].
"""

import numpy as np
from numpy.typing import NDArray

from tempo_core.metrics.official import percent
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.rules.base import RuleScores, answers

THRESHOLDS = (0.3, 0.5, 0.7)


def score(pairs: Pairs) -> RuleScores:
    """The mean IoU and the three shares."""
    stated, truth = answers(pairs), pairs.truth_windows
    iou = np.full(len(truth), np.nan, dtype=np.float32)
    for row in np.flatnonzero(truth.counts):
        windows = stated.edges[row, stated.valid[row]].astype(np.float32)
        moments = truth.edges[row, truth.valid[row]].astype(np.float32)
        iou[row] = unmerged_iou(windows, moments)
    scored = iou[np.isfinite(iou)]
    notes = []
    if without := int((truth.counts == 0).sum()):
        notes.append(f"{without} queries have no moment and are left out: the evaluator stops on them.")
    scores: dict[str, float | None] = dict.fromkeys([*(f"mIoU@{t}" for t in THRESHOLDS), "mIoU"])
    if len(scored):
        for threshold in THRESHOLDS:
            scores[f"mIoU@{threshold}"] = percent(np.mean(scored > np.float32(threshold)))
        scores["mIoU"] = float(f"{np.mean(scored) * np.float32(100):.2f}")
    return RuleScores(
        scores=scores,
        quantities={"R@0.5": scores["mIoU@0.5"], "R@0.7": scores["mIoU@0.7"], "mean IoU": scores["mIoU"]},
        overlap=iou.astype(np.float64),
        notes=tuple(notes),
    )


def unmerged_iou(windows: NDArray[np.float32], moments: NDArray[np.float32]) -> np.float32:
    """Shared lengths of all pairs of [K, 2] over the sum of all lengths less that; 0 where it is not a number."""
    start = np.maximum(windows[:, None, 0], moments[None, :, 0])
    end = np.minimum(windows[:, None, 1], moments[None, :, 1])
    shared = np.maximum(end - start, 0).sum(dtype=np.float32)
    total = (windows[:, 1] - windows[:, 0]).sum(dtype=np.float32) + (moments[:, 1] - moments[:, 0]).sum(
        dtype=np.float32
    )
    union = total - shared
    return np.float32(shared / union) if union else np.float32(0)
