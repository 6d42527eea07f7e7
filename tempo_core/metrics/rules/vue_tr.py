"""VUE-TR and VUE-TR-V2 (Vidi): areas under curves of IoU, precision and recall, by their authors' evaluators.

Source: bytedance/vidi, `VUE_TR/qa_eval.py` and `VUE_TR_V2/qa_eval.py`. Answers are widened to whole seconds. Each
curve is the share of queries whose value lies above (IoU) or at (precision, recall) each of 101 thresholds from 0 to
1; both sides empty is IoU 1. V1 prints one decimal, V2 two.

Its faults, kept: precision leaves out queries without an answer, so silence is never wrong (V2 counts one where
nothing matches as 1); recall leaves out queries without a moment. For both, overlapping windows are counted twice, and
the shared length is read by two pointers that want sorted windows: out of order, overlap is missed. The IoU of two
sets merges the answer but not the ground truth: moments that overlap are shared twice, and the IoU, cut at 1, is too
high. IoU exactly at a threshold is below it, so a perfect answer gets 99.5.
"""

from collections.abc import Sequence

import numpy as np

from tempo_core.metrics.arrays import Floats
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.rules.base import RuleScores, answers

THRESHOLDS = np.linspace(0, 1, 101)


def score(pairs: Pairs) -> RuleScores:
    """The three areas as VUE-TR prints them, in percent with one decimal."""
    return _score(pairs, decimals=1, silence_counts=False)


def score_v2(pairs: Pairs) -> RuleScores:
    """The three areas as VUE-TR-V2 prints them, in percent with two decimals."""
    return _score(pairs, decimals=2, silence_counts=True)


def _score(pairs: Pairs, *, decimals: int, silence_counts: bool) -> RuleScores:
    stated, truth = answers(pairs), pairs.truth_windows
    overlap = np.zeros(len(truth))
    precision: list[float] = []
    recall: list[float] = []
    for row in range(len(truth)):
        answer = stated.edges[row, stated.valid[row]]
        answer = np.stack([np.floor(answer[:, 0]), np.ceil(answer[:, 1])], axis=1)
        moments = truth.edges[row, truth.valid[row]]
        overlap[row] = merged_iou(answer, moments)
        answer, moments = np.sort(answer, axis=1), np.sort(moments, axis=1)
        shared, predicted, true = two_pointer_overlap(moments, answer), length(answer), length(moments)
        if true:
            recall.append(shared / true)
        if predicted:
            precision.append(shared / predicted)
        elif silence_counts and not true:
            precision.append(1.0)
    areas = {
        "Precision": area(precision, strict=False),
        "Recall": area(recall, strict=False),
        "IoU": area(overlap, strict=True),
    }
    scores = {
        name: float(f"{100 * value:.{decimals}f}") if np.isfinite(value) else None
        for name, value in areas.items()
    }
    notes = [
        f"No query counts for {name}: the evaluator prints nan." for name in scores if scores[name] is None
    ]
    return RuleScores(
        scores=scores, quantities={"mean IoU": scores["IoU"]}, overlap=overlap, notes=tuple(notes)
    )


def area(values: Sequence[float] | Floats, *, strict: bool) -> float:
    """Area under the share of values above (`strict`) or at each threshold; NaN of no values."""
    if not len(values):
        return float("nan")
    column = np.asarray(values, dtype=np.float64)[:, None]
    shares = (column > THRESHOLDS if strict else column >= THRESHOLDS).mean(axis=0)
    return float(np.trapezoid(shares, THRESHOLDS))


def length(windows: Floats) -> float:
    """Total length of windows [K, 2], overlaps counted twice."""
    return float((windows[:, 1] - windows[:, 0]).sum())


def merged_iou(answer: Floats, moments: Floats) -> float:
    """IoU of two sets, the answer merged and the ground truth as it is; both empty 1, one empty 0."""
    if not len(answer) or not len(moments):
        return float(len(answer) == len(moments))
    merged: list[Floats] = []
    for window in answer[np.argsort(answer[:, 0], kind="stable")]:
        if merged and window[0] <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], window[1])
        else:
            merged.append(window.copy())
    pieces = np.array([window for window in merged if window[0] <= window[1]]).reshape(-1, 2)
    start = np.maximum(pieces[:, None, 0], moments[None, :, 0])
    end = np.minimum(pieces[:, None, 1], moments[None, :, 1])
    shared = float(np.maximum(end - start, 0.0).sum())
    union = length(pieces) + length(moments) - shared
    return min(max(shared / (union + 1e-16), 0.0), 1.0)


def two_pointer_overlap(a: Floats, b: Floats) -> float:
    """Shared length of two lists of windows read in step, the one that ends first moving on; exact only when sorted."""
    shared = 0.0
    place_a = place_b = 0
    while place_a < len(a) and place_b < len(b):
        (a_start, a_end), (b_start, b_end) = a[place_a], b[place_b]
        if a_start <= b_end and b_start <= a_end:
            shared += float(min(a_end, b_end) - max(a_start, b_start))
        if a_end < b_end:
            place_a += 1
        else:
            place_b += 1
    return shared
