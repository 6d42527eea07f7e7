"""The metrics said slowly: one query, one window and one threshold at a time, with nothing but loops.

Tests hold the vectorised functions of `tempo_core.metrics` equal to it, and it is the place to read what they
compute. A window is (start, end) or (start, end, score) in seconds.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from tempo_core.metrics.ranking import IOU_THRESHOLDS, LENGTH_RANGES_S, MAX_WINDOWS

Span = Sequence[float]


def iou(a: Span, b: Span) -> float:
    """Plain division, so that a pair without union gives NaN."""
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return shared / union if union else math.nan


def best_iou(windows: Sequence[Span], truth: Sequence[Span]) -> float:
    """IoU of the first window with the moment it fits best; 0 where either side is empty."""
    return max((iou(windows[0], moment) for moment in truth), default=0.0) if windows else 0.0


def average_precision(
    windows: Sequence[Span],
    truth: Sequence[Span],
    threshold: float,
    *,
    outside: Sequence[bool] = (),
    excusable: Sequence[bool] = (),
) -> float:
    """Average precision of windows, best first, at one threshold; arguments as for the fast twin in `ranking`."""
    outside = outside or [False] * len(truth)
    excusable = excusable or [False] * len(windows)
    targets = [moment for moment, out in zip(truth, outside, strict=True) if not out]
    if not targets:
        return math.nan
    free = set(range(len(targets)))
    curve: list[tuple[float, float]] = []
    hits = counted = 0
    for window, excused in zip(windows, excusable, strict=True):
        fits = [(iou(window, targets[idx]), idx) for idx in free]
        # A NaN is below no threshold and sorts first; of equal fits the evaluator takes the last.
        fits.sort(key=lambda fit: (math.inf if math.isnan(fit[0]) else fit[0], fit[1]), reverse=True)
        near = [idx for fit, idx in fits if not fit < threshold]
        if near:
            free.remove(near[0])
            hits += 1
        elif excused or any(
            out and not iou(window, moment) < threshold for moment, out in zip(truth, outside, strict=True)
        ):
            continue
        counted += 1
        curve.append((hits / len(targets), hits / counted))
    # The area under (recall, precision), each recall taking the best precision from there on.
    area = before = 0.0
    for idx, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[idx:])
        before = recall
    return area


def clip_average_precision(positive: Sequence[bool], scores: Sequence[float]) -> float:
    """Average precision of one query's clips for one annotator; clips of equal score enter together."""
    curve: list[tuple[int, float]] = []
    for cut in sorted(set(scores), reverse=True):
        entered = [so for so, score in zip(positive, scores, strict=True) if score >= cut]
        curve.append((sum(entered), sum(entered) / len(entered)))
    best, before = [], 0
    for idx, (hits, _) in enumerate(curve):
        if hits > before:
            best.append(max(precision for _, precision in curve[idx:]))
        before = hits
    return fmean(best) if best else 0.0


def official_retrieval(
    rows: Sequence[tuple[Sequence[Span], Sequence[Span]]],
) -> dict[str, dict[str, dict[str, float]]]:
    """The official moment-retrieval scores of (predicted, true) rows, all with windows, in percent, unrounded."""
    scores = {}
    for name, (shortest, longest) in (LENGTH_RANGES_S | {"full": (-math.inf, math.inf)}).items():
        group = []
        for windows, truth in rows:
            within = [m for m in truth if shortest < m[1] - m[0] <= longest]
            if within:
                ranked = sorted(windows[:MAX_WINDOWS], key=lambda window: -window[2])
                group.append((windows, ranked, within))
        ap = [
            fmean(average_precision(ranked, within, threshold) for _, ranked, within in group)
            for threshold in IOU_THRESHOLDS
        ]
        first = [_first_iou(windows, within) for windows, _, within in group]
        recall = [fmean(fit >= threshold for fit in first) for threshold in IOU_THRESHOLDS]
        names = [str(threshold) for threshold in IOU_THRESHOLDS]
        scores[name] = {
            "MR-mAP": {k: 100 * v for k, v in zip([*names, "average"], [*ap, fmean(ap)], strict=True)},
            "MR-R1": {k: 100 * v for k, v in zip(names, recall, strict=True)},
        }
    return scores


def _first_iou(windows: Sequence[Span], truth: Sequence[Span]) -> float:
    """IoU by the hull with the moment whose IoU by the union is greatest, the first of equals, NaN before all."""
    window = windows[0]
    fits = [iou(window, moment) for moment in truth]
    unclear = [i for i, fit in enumerate(fits) if math.isnan(fit)]
    moment = truth[unclear[0] if unclear else fits.index(max(fits))]
    hull = max(window[1], moment[1]) - min(window[0], moment[0])
    return max(0.0, min(window[1], moment[1]) - max(window[0], moment[0])) / hull if hull else 0.0


def matched_count(near: Sequence[Sequence[bool]]) -> int:
    """The most pairs that can be made, by trying every choice for the first window, then for the rest."""
    if not near:
        return 0
    skipped = matched_count(near[1:])
    paired = [
        1 + matched_count([[*row[:place], *row[place + 1 :]] for row in near[1:]])
        for place, allowed in enumerate(near[0])
        if allowed
    ]
    return max([skipped, *paired])


def greatest_total(gains: Sequence[Sequence[float]]) -> float:
    """The greatest sum of gains over pairs, each row and column used once, by trying every choice."""
    if not gains:
        return 0.0
    return max(
        [
            greatest_total(gains[1:]),
            *(
                gain + greatest_total([[*row[:place], *row[place + 1 :]] for row in gains[1:]])
                for place, gain in enumerate(gains[0])
            ),
        ]
    )


def auroc(relevance: Sequence[float], relevant: Sequence[bool]) -> float:
    """Over all pairs of a query with a moment and one without: how often the first has the greater P(relevant)."""
    stated = [(p, so) for p, so in zip(relevance, relevant, strict=True) if not math.isnan(p)]
    with_moment = [p for p, so in stated if so]
    without = [p for p, so in stated if not so]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in with_moment for b in without]
    return fmean(wins) if wins else math.nan


def calibration_error(relevance: Sequence[float], relevant: Sequence[bool], bins: int) -> float:
    """Expected calibration error over equal bins of 0..1, the last one closed."""
    stated = [(p, so) for p, so in zip(relevance, relevant, strict=True) if not math.isnan(p)]
    if not stated:
        return math.nan
    error = 0.0
    for place in range(bins):
        inside = [(p, so) for p, so in stated if min(int(p * bins), bins - 1) == place]
        if inside:
            error += len(inside) * abs(fmean(p for p, _ in inside) - fmean(so for _, so in inside))
    return error / len(stated)


def resampled_values(
    numerator: Sequence[float],
    denominator: Sequence[float],
    clusters: Sequence[int],
    draws: Sequence[Sequence[int]],
) -> list[float]:
    """The ratio of sums over the rows of each draw's clusters, each as often as it was drawn."""
    values = []
    for draw in draws:
        rows = [row for cluster in draw for row, own in enumerate(clusters) if own == cluster]
        below = sum(denominator[row] for row in rows)
        values.append(sum(numerator[row] for row in rows) / below if below > 0 else math.nan)
    return values


def f1(predicted: Sequence[bool], true: Sequence[bool]) -> float:
    """F1 of a class from who was said to be in it and who is; NaN when nobody is in either."""
    hits = sum(a and b for a, b in zip(predicted, true, strict=True))
    below = sum(predicted) + sum(true)
    return 2 * hits / below if below else math.nan
