"""The official QVHighlights scores, to the printed digit, with the official evaluator's faults.

Source: moment_detr, `standalone_eval`. Its faults are kept on purpose, so that a number compares with a published one:
impossible windows are scored as they are, only the first ten windows of the file's order count, a query without
windows drops out of the mean average precision, and the length groups filter the ground truth alone. Where the
evaluator would stop with an exception or print NaN, the number is None here and a note says why.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tempo_core.metrics.arrays import Bools, Floats, Windows, cross_iou, hull_iou, pad
from tempo_core.metrics.highlights import MIN_RATINGS, clip_average_precision, hit_at_one, pad_saliency, rate
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.ranking import IOU_THRESHOLDS, LENGTH_RANGES_S, MAX_WINDOWS, average_precision
from tempo_core.metrics.rows import ScoredWindow

Scores = dict[str, Any]
"""The evaluator's own nesting: `brief`, `full`, `short`, `middle`, `long`, `HL-min-*`; percent."""


def percent(value: float | np.floating[Any]) -> float | None:
    """A share as the evaluator prints it, 0.53234 as 53.23; None where it is not a number."""
    return float(f"{100 * value:.2f}") if np.isfinite(value) else None


def official_scores(pairs: Pairs) -> tuple[Scores, dict[str, float | None], list[str]]:
    """The scores in the official layout, the mean IoU of each length group in percent, and notes on absent numbers."""
    scores: Scores = {}
    mean_iou: dict[str, float | None] = {}
    notes: list[str] = []
    if any(row is not None and row.windows is not None for row in pairs.predictions):
        listed = [row.windows or () if row else () for row in pairs.predictions]
        scores, mean_iou = retrieval_scores(pad(listed), rank(listed), pairs.truth_windows)
        if empty := int((pad(listed).counts == 0).sum()):
            notes.append(
                f"{empty} predictions have no window: the official evaluator stops there with IndexError, "
                "so R1 is not defined where one counts; mAP leaves them out, which flatters. Use --rules strict."
            )
        if empty := int((pairs.truth_windows.counts == 0).sum()):
            notes.append(
                f"{empty} ground-truth rows have no window: the official evaluator stops there with IndexError, "
                "so the scores over all lengths are not defined. Use --rules strict, or leave these rows out."
            )
    highlight, highlight_notes = _highlight_scores(pairs)
    scores |= highlight
    return arrange(scores), mean_iou, notes + highlight_notes


def rank(listed: Sequence[Sequence[ScoredWindow]]) -> Windows:
    """The first ten windows of each query's list, and only then the best score first; equals keep their order."""
    return pad([sorted(row[:MAX_WINDOWS], key=lambda window: -window[2]) for row in listed])


def retrieval_scores(
    listed: Windows, ranked: Windows, truth: Windows
) -> tuple[Scores, dict[str, float | None]]:
    """Moment-retrieval scores of each length group: recall from the windows in the order of the file, mAP from `rank`.

    The mean IoU of the first window, in percent, comes apart: the evaluator does not print it.
    """
    scores: Scores = {}
    mean_iou: dict[str, float | None] = {}
    lengths_s = truth.lengths_s
    for name, (shortest, longest) in LENGTH_RANGES_S.items():
        within = truth.keep((shortest < lengths_s) & (lengths_s <= longest))
        rows = within.counts > 0
        scores[name], mean_iou[name] = _group_scores(listed.take(rows), ranked.take(rows), within.take(rows))
    scores["full"], mean_iou["full"] = _group_scores(listed, ranked, truth)
    return scores, mean_iou


def _group_scores(listed: Windows, ranked: Windows, truth: Windows) -> tuple[Scores, float | None]:
    # The mean over the queries that have windows at all; NaN when there are none or one has no ground truth.
    rows = ranked.counts > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no queries is NaN, as it should be
        mean_ap: Floats = average_precision(ranked.take(rows), truth.take(rows)).mean(axis=0)
    iou = first_iou(listed, truth)
    names = [str(threshold) for threshold in IOU_THRESHOLDS]
    ap = {name: percent(value) for name, value in zip(names, mean_ap, strict=True)}
    recall = {
        name: None if iou is None else percent(np.mean(iou >= threshold))
        for name, threshold in zip(names, IOU_THRESHOLDS, strict=True)
    }
    scores = {"MR-mAP": ap | {"average": percent(np.mean(mean_ap))}, "MR-R1": recall}
    return scores, None if iou is None else percent(np.mean(iou))


def first_iou(ranked: Windows, truth: Windows) -> Floats | None:
    """[N] IoU of the first window with its best ground truth; None where the evaluator would raise IndexError.

    The best is found by plain division (a NaN wins), then measured against the hull of the two instead of their union.
    """
    if len(truth) == 0 or not (ranked.valid[:, 0].all() and truth.valid[:, 0].all()):
        return None
    first = ranked.first()
    fits = cross_iou(first, truth)[:, 0]
    fits[~truth.valid] = -np.inf
    best = truth.edges[np.arange(len(truth)), fits.argmax(axis=1)]
    return hull_iou(first.edges[:, 0], best)


def _highlight_scores(pairs: Pairs) -> tuple[Scores, list[str]]:
    predicted = [row.saliency if row else None for row in pairs.predictions]
    if not any(predicted):
        return {}, []
    unscored = sum(row is None for row in predicted)
    unrated = sum(row.clip_ids is None for row in pairs.truth)
    if unscored or unrated:
        which = f"{unscored} predictions" if unscored else f"{unrated} ground-truth rows"
        return {}, [
            f"{which} have no saliency scores, so the highlight scores are not defined: all must, or none."
        ]
    ratings = rate(pairs.truth)
    scores = pad_saliency(predicted, ratings.valid.shape[1], fill=0.0)
    layout: Scores = {}
    for name, rating in MIN_RATINGS.items():
        positive: Bools = ratings.scores >= rating
        layout[f"HL-min-{name}"] = {
            "HL-mAP": percent(np.mean(clip_average_precision(positive, scores, ratings.valid))),
            "HL-Hit1": percent(np.mean(hit_at_one(positive & ratings.valid[..., None], predicted))),
        }
    return layout, []


def arrange(scores: Mapping[str, Any]) -> Scores:
    """The scores in the evaluator's order, under a `brief` of the numbers that papers print."""
    brief: dict[str, Any] = {}
    if "full" in scores:
        brief = {f"MR-full-R1@{t}": scores["full"]["MR-R1"][t] for t in ("0.5", "0.7")}
        brief["MR-full-mAP"] = scores["full"]["MR-mAP"]["average"]
        brief |= {f"MR-full-mAP@{t}": scores["full"]["MR-mAP"][t] for t in ("0.5", "0.75")}
        brief |= {f"MR-{name}-mAP": scores[name]["MR-mAP"]["average"] for name in ("long", "middle", "short")}
    for name in MIN_RATINGS:
        group: Mapping[str, Any] = scores.get(f"HL-min-{name}", {})
        brief |= {f"HL-min-{name}-{key.removeprefix('HL-')}": value for key, value in group.items()}
    return {"brief": brief, **{name: scores[name] for name in sorted(scores)}}
