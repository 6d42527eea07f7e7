"""One evaluation, from two files to one report: QVHighlights scores under either rules, and Tempo's own measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tempo_core.errors import InputError
from tempo_core.metrics.arrays import Ints
from tempo_core.metrics.bootstrap import (
    SAMPLES,
    Difference,
    Ratio,
    interval,
    paired_differences,
    resampled_values,
)
from tempo_core.metrics.measures import QueryScores, auroc, calibrate, measure, score_queries, whole_clip
from tempo_core.metrics.official import Scores, arrange, official_scores, retrieval_scores
from tempo_core.metrics.pairing import Pairs, group_rows, pair, read_answers
from tempo_core.metrics.ranking import MAX_WINDOWS
from tempo_core.metrics.rows import PredictionRow, Problem, TruthRow, read_files
from tempo_core.metrics.strict import strict_retrieval, strict_scores

Rules = Literal["official", "strict"]
Measures = dict[str, dict[str, float | None]]
"""For each measure its value, and the low and high end of its 95 % interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What one prediction file scores on one ground truth."""

    rules: Rules
    files: Mapping[str, str]
    counts: Mapping[str, int]
    scores: Scores
    """The official layout, percent with two decimals; None where a number is not defined."""
    mean_iou: Mapping[str, float | None]
    """Mean IoU of the first window in each length group, percent."""
    ceiling: Scores
    """What this ground truth scores under these rules when it is the prediction; retrieval only."""
    measures: Measures
    whole_clip: Mapping[str, float | None]
    """The measures of answering every query with the whole clip; empty when durations are unknown."""
    auroc: float | None
    calibration_error: float | None
    groups: Mapping[str, Mapping[str, Measures]]
    """Measures for each value of each field asked for."""
    missing: tuple[int | str, ...]
    unknown: tuple[int | str, ...]
    rejected: tuple[Problem, ...]
    notes: tuple[str, ...]
    queries: QueryScores
    """What the plots are drawn from; not part of the JSON."""

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object, documented in docs/evaluation.md."""
        report = {name: getattr(self, name) for name in self.__slots__ if name != "queries"}
        report |= {name: list(report[name]) for name in ("missing", "unknown", "notes")}
        return report | {"rejected": [problem.to_dict() for problem in self.rejected]}


def evaluate_files(predictions: str | Path, truth: str | Path, **options: Any) -> Evaluation:
    """Read, check and score two files; options as for `evaluate`. Raises InputError that names the broken rows."""
    return evaluate(**read_files(predictions, truth), **options)


def evaluate(
    predictions: Sequence[PredictionRow],
    truth: Sequence[TruthRow],
    *,
    rules: Rules = "strict",
    by: Sequence[str] = (),
    partial: bool = False,
    samples: int = SAMPLES,
    seed: int = 0,
    files: Mapping[str, str] | None = None,
) -> Evaluation:
    """Score predictions against ground truth.

    `by` names fields of the ground-truth rows to make tables for. With `partial` only the predicted queries
    are scored; otherwise a missing one scores nothing under `strict` and is an InputError under `official`,
    as the official evaluator has it. `samples` and `seed` are those of the confidence intervals.
    """
    names = files or {"predictions": "predictions", "ground_truth": "ground truth"}
    pairs = pair(truth, predictions, partial=partial)
    if rules == "official" and not partial:
        refuse_other_queries(pairs, "official")
    answers, rejected = read_answers(pairs, file=names["predictions"])
    notes = list(pairs.notes)
    if rules == "strict":
        scores, mean_iou = strict_scores(pairs, answers)
    else:
        scores, mean_iou, official_notes = official_scores(pairs)
        notes += official_notes
        if rejected:
            notes.append(
                f"{len(rejected)} impossible windows are scored as they are by the official rules (an inverted "
                "one can even count as a hit), and left out of every other measure."
            )
    queries = score_queries(pairs, answers)
    ratios = measure(queries)
    groups: dict[str, dict[str, Measures]] = {}
    for field in by:
        groups[field] = {}
        for value, rows in group_rows(pairs, field).items():
            group_ratios = {name: ratio.within(rows) for name, ratio in ratios.items()}
            count = {"value": float(rows.sum()), "low": None, "high": None}
            table = tabulate(group_ratios, queries.clusters, samples=samples, seed=seed)
            groups[field][value] = {"queries": count} | table
    baseline = whole_clip(pairs)
    return Evaluation(
        rules=rules,
        files=names,
        counts={
            "ground_truth": len(truth),
            "scored": len(pairs.truth),
            "missing": len(pairs.missing),
            "unknown": len(pairs.unknown),
            "relevant": int(queries.relevant.sum()),
            "irrelevant": int((~queries.relevant).sum()),
            "refused": int(queries.refused.sum()),
            "not_understood": int((~queries.understood).sum()),
            "videos": int(queries.clusters.max(initial=-1)) + 1,
            "rejected_windows": len(rejected),
        },
        scores=scores,
        mean_iou=mean_iou,
        ceiling=ceiling(pairs, rules),
        measures=tabulate(ratios, queries.clusters, samples=samples, seed=seed),
        whole_clip={} if baseline is None else point_values(score_queries(pairs, baseline)),
        auroc=number(auroc(queries.relevance, queries.relevant)),
        calibration_error=number(calibrate(queries.relevance, queries.relevant).error),
        groups=groups,
        missing=pairs.missing,
        unknown=pairs.unknown,
        rejected=rejected,
        notes=tuple(notes),
        queries=queries,
    )


def refuse_other_queries(pairs: Pairs, rules: str) -> None:
    """Raise InputError where the two files do not hold the same queries; `rules` names those that need it."""
    for qids, fault in (
        (pairs.missing, "are not in the predictions"),
        (pairs.unknown, "are not in the ground truth"),
    ):
        if qids:
            listed = ", ".join(str(qid) for qid in qids[:5]) + (", ..." if len(qids) > 5 else "")
            raise InputError(
                f"{len(qids)} qids {fault} ({listed}); the {rules} rules need the same queries on both "
                "sides. Use --rules strict, where a missing query scores 0, or --partial, which leaves it "
                "out."
            )


def compare(
    first: Sequence[PredictionRow],
    second: Sequence[PredictionRow],
    truth: Sequence[TruthRow],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """How much better the second set of predictions is than the first, measure by measure, on the same ground truth.

    A paired bootstrap over videos: both are scored on the same draws, so what makes a video hard cancels out.
    """
    scored = []
    for predictions in (first, second):
        pairs = pair(truth, predictions)
        scored.append(score_queries(pairs, read_answers(pairs)[0]))
    before, after = (measure(queries) for queries in scored)
    return paired_differences(before, after, scored[0].clusters, samples=samples, seed=seed)


def ceiling(pairs: Pairs, rules: Rules) -> Scores:
    """The retrieval scores of the ground truth itself, in its own order, without the rows where nothing matches."""
    truth = pairs.truth_windows
    truth = truth.take(truth.counts > 0)
    first_ten = truth.first(MAX_WINDOWS)
    if rules == "strict":
        return arrange(strict_retrieval(first_ten, truth)[0])
    return arrange(retrieval_scores(truth, first_ten, truth)[0])


def tabulate(
    ratios: Mapping[str, Ratio], clusters: Ints, *, samples: int = SAMPLES, seed: int = 0
) -> Measures:
    """Value and 95 % interval of each measure and of `mean_f1`; None where it is not defined."""
    values = {name: ratio.value() for name, ratio in ratios.items()}
    resampled = resampled_values(ratios, clusters, samples=samples, seed=seed)
    values["mean_f1"] = (values["refused_f1"] + values["relevant_f1"]) / 2
    resampled["mean_f1"] = (resampled["refused_f1"] + resampled["relevant_f1"]) / 2
    table: Measures = {}
    for name, value in values.items():
        low, high = interval(resampled[name])
        table[name] = {"value": number(value), "low": number(low), "high": number(high)}
    return table


def point_values(queries: QueryScores) -> dict[str, float | None]:
    """The measures without intervals."""
    values = {name: ratio.value() for name, ratio in measure(queries).items()}
    values["mean_f1"] = (values["refused_f1"] + values["relevant_f1"]) / 2
    return {name: number(value) for name, value in values.items()}


def number(value: float | np.floating[Any]) -> float | None:
    """A float for JSON: None where it is not a number."""
    return float(value) if np.isfinite(value) else None
