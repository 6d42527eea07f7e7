"""Tempo's own measures of a set of predictions, all in 0..1 (errors in seconds), each as a ratio of sums over
queries.

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
"""

from dataclasses import dataclass

import numpy as np

from tempo_core.metrics.arrays import Bools, Floats, Ints, Windows, best_iou, pad
from tempo_core.metrics.bootstrap import Ratio
from tempo_core.metrics.pairing import Answers, Pairs
from tempo_core.metrics.sets import SET_THRESHOLDS, SetScores, score_sets

RECALL_THRESHOLDS = (0.3, 0.5, 0.7)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryScores:
    """Everything about every scored query [N] that the measures and plots are made from."""

    relevant: Bools
    """Whether the ground truth has a moment."""
    refused: Bools
    relevance: Floats
    first_iou: Floats
    """IoU of the best-scored window with its best moment; 0 for a refusal and for nothing said."""
    sets: SetScores
    """Where nothing matches, 1 for a refusal and 0 for anything else: an empty answer alone earns nothing."""
    clusters: Ints


def score_queries(pairs: Pairs, answers: Answers) -> QueryScores:
    """Score every query; `answers` come from `read_answers(pairs)` or from `whole_clip(pairs)`."""
    truth = pairs.truth_windows
    relevant = truth.counts > 0
    sets = score_sets(answers.moments, truth)
    right_refusal = answers.refused.astype(np.float64)
    return QueryScores(
        relevant=relevant,
        refused=answers.refused,
        relevance=answers.relevance,
        first_iou=best_iou(answers.ranked, truth),
        sets=SetScores(
            iou=np.where(relevant, sets.iou, right_refusal),
            f1=np.where(relevant[:, None], sets.f1, right_refusal[:, None]),
            count_correct=np.where(relevant, sets.count_correct, answers.refused),
            start_error_s=sets.start_error_s,
            end_error_s=sets.end_error_s,
            error_rows=sets.error_rows,
        ),
        clusters=pairs.clusters,
    )


def whole_clip(pairs: Pairs) -> Answers | None:
    """The baseline that answers every query with the whole clip; None when a row lacks its duration."""
    durations = [row.duration_s for row in pairs.truth]
    clips = [[(0.0, duration)] for duration in durations if duration is not None]
    if len(clips) < len(durations):
        return None
    windows: Windows = pad(clips)
    return Answers(
        ranked=windows,
        moments=windows,
        has_prediction=np.ones(len(clips), dtype=bool),
        refused=np.zeros(len(clips), dtype=bool),
        relevance=np.full(len(clips), np.nan),
    )


def measure(scores: QueryScores) -> dict[str, Ratio]:
    """Every measure of the table above that is one ratio; `mean_f1`, the mean of two, is added in
    `evaluation`.
    """
    size = len(scores.relevant)
    everything, relevant = np.ones(size), scores.relevant.astype(np.float64)
    measures = {"miou": Ratio(numerator=scores.first_iou * relevant, denominator=relevant)}
    for threshold in RECALL_THRESHOLDS:
        hit = (scores.first_iou >= threshold) & scores.relevant
        measures[f"recall@{threshold}"] = Ratio(numerator=hit.astype(np.float64), denominator=relevant)
    measures["set_iou"] = Ratio(numerator=scores.sets.iou, denominator=everything)
    measures["relevant_set_iou"] = Ratio(numerator=scores.sets.iou * relevant, denominator=relevant)
    for column, threshold in enumerate(SET_THRESHOLDS):
        measures[f"set_f1@{threshold}"] = Ratio(numerator=scores.sets.f1[:, column], denominator=everything)
    count_correct = scores.sets.count_correct.astype(np.float64)
    measures["count_accuracy"] = Ratio(numerator=count_correct, denominator=everything)

    # Edge errors: means over the matched moments, summed per query.
    rows = scores.sets.error_rows
    matched = np.bincount(rows, minlength=size).astype(np.float64)
    for name, error in (
        ("start_error_s", scores.sets.start_error_s),
        ("end_error_s", scores.sets.end_error_s),
    ):
        total = np.bincount(rows, weights=np.abs(error), minlength=size).astype(np.float64)
        measures[name] = Ratio(numerator=total, denominator=matched)

    # Refusal: F1 of the two classes, and the two ways to be wrong.
    is_relevant, refused = scores.relevant, scores.refused
    shares = {
        "refused_f1": (2 * (refused & ~is_relevant), refused.astype(np.int64) + ~is_relevant),
        "relevant_f1": (2 * (~refused & is_relevant), (~refused).astype(np.int64) + is_relevant),
        "ra_iou": ((is_relevant != refused) * scores.sets.iou, everything),
        "over_refusal": (refused & is_relevant, is_relevant),
        "missed_refusal": (~refused & ~is_relevant, ~is_relevant),
    }
    for name, (above, below) in shares.items():
        measures[name] = Ratio(numerator=above.astype(np.float64), denominator=below.astype(np.float64))
    return measures
