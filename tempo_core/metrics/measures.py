"""Tempo's own measures of a set of predictions, all in 0..1 (errors in seconds), each as a ratio of sums over queries.

| name | over | what |
| --- | --- | --- |
| miou, recall@t | queries with a moment | IoU of the top window with its best moment; a refusal is 0 |
| set_iou, set_f1@t, count_accuracy | all queries | the answer as a set; if nothing matches: 1 if refused |
| relevant_set_iou | queries with a moment | the same set IoU |
| start_error_s, end_error_s | matched moments | mean distance in seconds |
| refused_f1, relevant_f1, mean_f1 | all queries | F1 of the two classes, and their mean |
| ra_iou | all queries | 0 for the wrong class, 1 for a right refusal, set IoU for a right answer |
| over_refusal | queries with a moment | share refused |
| missed_refusal | queries without a moment | share answered |
| not_understood | all queries | share whose question the model says that it does not know |

A question that was not understood has no moments and is no refusal: with a moment it scores 0, without one it is left
out of every measure but `not_understood`, as nothing was said about the clip.
"""

from dataclasses import dataclass

import numpy as np

from tempo_core.metrics.arrays import (
    Bools,
    Floats,
    Ints,
    any_along,
    best_iou,
    cross_iou,
    pad,
    set_iou,
)
from tempo_core.metrics.bootstrap import Ratio
from tempo_core.metrics.pairing import Answers, Pairs

RECALL_THRESHOLDS = (0.3, 0.5, 0.7)
SET_THRESHOLDS = (0.3, 0.5, 0.7)
CALIBRATION_BINS = 10


def matched_counts(near: Bools) -> Ints:
    """[N] the most pairs that can be made, each window used once, where `near` [N, P, G] allows a pair."""
    counts = near.sum(axis=(1, 2), dtype=np.int64)
    for row in np.flatnonzero(_has_choice(near)):
        predicted_idx, truth_idx = assign(near[row].astype(np.float64))
        counts[row] = int(near[row][predicted_idx, truth_idx].sum())
    return counts


def matched_moments(iou: Floats) -> tuple[Ints, Ints, Ints]:
    """Query, predicted and true index of every pair in the matching of greatest total IoU; only pairs that overlap."""
    overlap = iou > 0
    contested = _has_choice(overlap)
    parts = [np.argwhere(overlap & ~contested[:, None, None])]
    for row in np.flatnonzero(contested):
        predicted_idx, truth_idx = assign(np.maximum(iou[row], 0.0))
        overlaps = iou[row][predicted_idx, truth_idx] > 0
        rows = np.full(int(overlaps.sum()), row)
        parts.append(np.stack([rows, predicted_idx[overlaps], truth_idx[overlaps]], axis=1))
    pairs = np.concatenate(parts)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return pairs[:, 0], pairs[:, 1], pairs[:, 2]


def _has_choice(near: Bools) -> Bools:
    """[N] whether some window could be paired with more than one: only then is there anything to choose."""
    return any_along(near.sum(axis=1) > 1, 1) | any_along(near.sum(axis=2) > 1, 1)


def assign(gain: Floats) -> tuple[Ints, Ints]:
    """Row and column indices of the one-to-one assignment of greatest total `gain` [P, G]."""
    from scipy.optimize import linear_sum_assignment  # half a second of CPU to import, and seldom needed

    predicted_idx, truth_idx = linear_sum_assignment(gain, maximize=True)
    return predicted_idx, truth_idx


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """P(relevant) in equal bins of 0..1: what was predicted against what holds, [B] each; NaN in an empty bin."""

    predicted: Floats
    """Mean P(relevant) of the bin."""
    observed: Floats
    """Share of the bin's queries that have a moment."""
    counts: Ints

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap of the two, weighted by queries; NaN of no queries."""
        total = int(self.counts.sum())
        if not total:
            return float("nan")
        filled = self.counts > 0
        gaps = np.abs(self.predicted[filled] - self.observed[filled])
        return float((gaps * self.counts[filled]).sum() / total)


def calibrate(relevance: Floats, relevant: Bools) -> Calibration:
    """Calibration of P(relevant) [N] against what is so [N]; NaN queries are left out."""
    bins, is_stated = CALIBRATION_BINS, np.isfinite(relevance)
    predicted, observed = relevance[is_stated], relevant[is_stated]
    bin_idx = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    counts = np.bincount(bin_idx, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Calibration(
            predicted=np.bincount(bin_idx, weights=predicted, minlength=bins) / counts,
            observed=np.bincount(bin_idx, weights=observed, minlength=bins) / counts,
            counts=counts,
        )


def auroc(relevance: Floats, relevant: Bools) -> float:
    """The chance that a query with a moment gets a higher P(relevant) than one without, ties counting half.

    Queries whose P(relevant) is NaN are left out; NaN when one of the two kinds is absent.
    """
    is_stated = np.isfinite(relevance)
    predicted, is_positive = relevance[is_stated], relevant[is_stated]
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, value_idx, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[value_idx]  # from 1, equal values sharing their mean rank
    return float((ranks[is_positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryScores:
    """Everything about every scored query [N] that the measures and plots are made from.

    Where nothing matches, the scores of the set are 1 for a refusal and 0 for anything else: an empty answer alone
    earns nothing.
    """

    relevant: Bools
    """Whether the ground truth has a moment."""
    refused: Bools
    understood: Bools
    """Whether the model knew what was asked."""
    relevance: Floats
    first_iou: Floats
    """IoU of the best-scored window with its best moment; 0 for a refusal and for nothing said."""
    set_iou: Floats
    set_f1: Floats
    """[N, 3] at IoU .3, .5 and .7."""
    count_correct: Bools
    start_error_s: Floats
    """[M] predicted minus true start of every matched moment."""
    end_error_s: Floats
    error_rows: Ints
    """[M] the query that each matched moment belongs to."""
    clusters: Ints


def score_queries(pairs: Pairs, answers: Answers) -> QueryScores:
    """Score every query; `answers` come from `read_answers(pairs)` or from `whole_clip(pairs)`."""
    truth, predicted = pairs.truth_windows, answers.moments
    relevant = truth.counts > 0
    right_refusal = answers.refused.astype(np.float64)
    iou = cross_iou(predicted, truth)
    set_f1 = np.zeros((len(truth), len(SET_THRESHOLDS)))
    for column, threshold in enumerate(SET_THRESHOLDS):
        f1 = 2.0 * matched_counts(iou >= threshold) / np.maximum(predicted.counts + truth.counts, 1)
        set_f1[:, column] = np.where(relevant, f1, right_refusal)
    rows, predicted_idx, truth_idx = matched_moments(iou)
    errors = predicted.edges[rows, predicted_idx] - truth.edges[rows, truth_idx]
    return QueryScores(
        relevant=relevant,
        refused=answers.refused,
        understood=answers.understood,
        relevance=answers.relevance,
        first_iou=best_iou(answers.ranked, truth),
        set_iou=np.where(relevant, set_iou(predicted, truth), right_refusal),
        set_f1=set_f1,
        count_correct=np.where(relevant, predicted.counts == truth.counts, answers.refused),
        start_error_s=errors[:, 0],
        end_error_s=errors[:, 1],
        error_rows=rows,
        clusters=pairs.clusters,
    )


def whole_clip(pairs: Pairs) -> Answers | None:
    """The baseline that answers every query with the whole clip; None when a row lacks its duration."""
    durations = [row.duration_s for row in pairs.truth]
    clips = [[(0.0, duration)] for duration in durations if duration is not None]
    if len(clips) < len(durations):
        return None
    windows = pad(clips)
    return Answers(
        ranked=windows,
        moments=windows,
        refused=np.zeros(len(clips), dtype=bool),
        understood=np.ones(len(clips), dtype=bool),
        relevance=np.full(len(clips), np.nan),
    )


def measure(scores: QueryScores) -> dict[str, Ratio]:
    """Every measure of the table above that is one ratio; `mean_f1`, the mean of two, is added in `evaluation`."""
    size = len(scores.relevant)
    judged = scores.relevant | scores.understood
    everything, relevant = judged.astype(np.float64), scores.relevant.astype(np.float64)
    measures = {"miou": Ratio(numerator=scores.first_iou * relevant, denominator=relevant)}
    for threshold in RECALL_THRESHOLDS:
        hit = (scores.first_iou >= threshold) & scores.relevant
        measures[f"recall@{threshold}"] = Ratio(numerator=hit.astype(np.float64), denominator=relevant)
    measures["set_iou"] = Ratio(numerator=scores.set_iou * everything, denominator=everything)
    measures["relevant_set_iou"] = Ratio(numerator=scores.set_iou * relevant, denominator=relevant)
    for column, threshold in enumerate(SET_THRESHOLDS):
        measures[f"set_f1@{threshold}"] = Ratio(
            numerator=scores.set_f1[:, column] * everything, denominator=everything
        )
    count_correct = scores.count_correct * everything
    measures["count_accuracy"] = Ratio(numerator=count_correct, denominator=everything)

    # Edge errors: means over the matched moments, summed per query.
    rows = scores.error_rows
    matched = np.bincount(rows, minlength=size).astype(np.float64)
    for name, error in (
        ("start_error_s", scores.start_error_s),
        ("end_error_s", scores.end_error_s),
    ):
        total = np.bincount(rows, weights=np.abs(error), minlength=size).astype(np.float64)
        measures[name] = Ratio(numerator=total, denominator=matched)

    # Refusal: F1 of the two classes, and the two ways to be wrong.
    is_relevant, refused = scores.relevant, scores.refused
    is_irrelevant, has_answer = ~is_relevant & scores.understood, ~refused & scores.understood
    shares = {
        "refused_f1": (2 * (refused & is_irrelevant), refused.astype(np.int64) + is_irrelevant),
        "relevant_f1": (2 * (has_answer & is_relevant), has_answer.astype(np.int64) + is_relevant),
        "ra_iou": ((is_relevant != refused) * scores.set_iou * everything, everything),
        "over_refusal": (refused & is_relevant, is_relevant),
        "missed_refusal": (has_answer & is_irrelevant, is_irrelevant),
        "not_understood": (~scores.understood, np.ones(size)),
    }
    for name, (above, below) in shares.items():
        measures[name] = Ratio(numerator=above.astype(np.float64), denominator=below.astype(np.float64))
    return measures
