"""One prediction file under all rules at once: the quantities that several have, and the queries they disagree on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tempo_core.errors import InputError
from tempo_core.metrics.arrays import Bools, Floats, best_iou, pad
from tempo_core.metrics.evaluation import number, refuse_other_queries
from tempo_core.metrics.measures import measure, score_queries
from tempo_core.metrics.official import Scores, first_iou, official_scores
from tempo_core.metrics.pairing import Pairs, pair, read_answers
from tempo_core.metrics.rows import PredictionRow, TruthRow, read_files
from tempo_core.metrics.rules import BENCHMARKS
from tempo_core.metrics.rules.report import RulesReport, evaluate_by_rules
from tempo_core.metrics.strict import strict_scores

QUANTITIES = ("mAP", "R@0.5", "R@0.7", "mean IoU", "refusal F1", "refusal recall")


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """One query to which the rules give different overlap."""

    qid: int | str
    overlap: Mapping[str, float]
    """The IoU by each of the rules that score the query, 0 to 1."""
    spread: float
    """The greatest less the least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RulesComparison:
    """One prediction file under all rules."""

    files: Mapping[str, str]
    quantities: Mapping[str, Mapping[str, float | None]]
    """For each set of rules its quantities in percent, under the names of QUANTITIES."""
    reports: Mapping[str, RulesReport]
    disagreements: tuple[Disagreement, ...]
    """Every query on which the rules differ, greatest spread first."""
    notes: tuple[str, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that could score the file."""
        return tuple(self.quantities)

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object, documented in docs/evaluation.md."""
        return {
            "rules": "all",
            "files": dict(self.files),
            "quantities": {rules: dict(values) for rules, values in self.quantities.items()},
            "reports": {rules: report.to_dict() for rules, report in self.reports.items()},
            "disagreements": [
                {"qid": row.qid, "overlap": dict(row.overlap), "spread": row.spread}
                for row in self.disagreements
            ],
            "notes": list(self.notes),
        }


def compare_rules_of_files(
    predictions: str | Path, truth: str | Path, *, partial: bool = False
) -> RulesComparison:
    """Read and check two files, and compare the rules on them. Raises InputError that names the broken rows."""
    return compare_rules(**read_files(predictions, truth), partial=partial)


def compare_rules(
    predictions: Sequence[PredictionRow],
    truth: Sequence[TruthRow],
    *,
    partial: bool = False,
    files: Mapping[str, str] | None = None,
) -> RulesComparison:
    """Score one set of predictions by the official, the strict and every benchmark's rules.

    Rules that cannot score the file at all are left out, with a note that says why.
    """
    pairs = pair(truth, predictions, partial=partial)
    notes = list(pairs.notes)
    quantities: dict[str, Mapping[str, float | None]] = {}
    overlaps: dict[str, dict[int | str, float]] = {}
    reports: dict[str, RulesReport] = {}

    def record(
        rules: str, values: Mapping[str, float | None], qids: Sequence[int | str], iou: Floats
    ) -> None:
        quantities[rules] = values
        overlaps[rules] = {
            qid: float(value) for qid, value in zip(qids, iou, strict=True) if np.isfinite(value)
        }

    qids = [row.qid for row in pairs.truth]
    try:
        if not partial:
            refuse_other_queries(pairs, "official")
    except InputError as error:
        notes.append(f"official: {error}")
    else:
        scores, mean_iou, official_notes = official_scores(pairs)
        notes += [f"official: {note}" for note in official_notes]
        record("official", _retrieval(scores, mean_iou), qids, _official_overlap(pairs))

    answers, rejected = read_answers(pairs)
    scores, mean_iou = strict_scores(pairs, answers)
    queries = score_queries(pairs, answers)
    ratios = measure(queries)
    refusal = {
        "refusal F1": number(100 * ratios["refused_f1"].value()),
        "refusal recall": number(100 * (1 - ratios["missed_refusal"].value())),
    }
    strict_overlap = np.where(queries.relevant, best_iou(answers.ranked, pairs.truth_windows), np.nan)
    record("strict", _retrieval(scores, mean_iou) | refusal, qids, strict_overlap)
    if rejected:
        notes.append(f"strict: {len(rejected)} impossible windows are left out.")

    for rules in BENCHMARKS:
        try:
            report = evaluate_by_rules(predictions, truth, rules=rules, partial=partial, files=files)
        except InputError as error:
            notes.append(f"{rules}: {error}")
            continue
        reports[rules] = report
        notes += [f"{rules}: {note}" for note in report.notes if note not in pairs.notes]
        record(rules, report.quantities, report.qids, report.overlap)

    disagreements = []
    for qid in qids:
        overlap = {rules: values[qid] for rules, values in overlaps.items() if qid in values}
        spread = max(overlap.values(), default=0.0) - min(overlap.values(), default=0.0)
        if spread > 1e-6:  # 32 bits against 64 are no disagreement
            disagreements.append(Disagreement(qid=qid, overlap=overlap, spread=spread))
    return RulesComparison(
        files=files or {"predictions": "predictions", "ground_truth": "ground truth"},
        quantities=quantities,
        reports=reports,
        disagreements=tuple(sorted(disagreements, key=lambda row: -row.spread)),
        notes=tuple(notes),
    )


def _retrieval(scores: Scores, mean_iou: Mapping[str, float | None]) -> dict[str, float | None]:
    brief: Mapping[str, float | None] = scores["brief"]
    return {
        "mAP": brief.get("MR-full-mAP"),
        "R@0.5": brief.get("MR-full-R1@0.5"),
        "R@0.7": brief.get("MR-full-R1@0.7"),
        "mean IoU": mean_iou.get("full"),
    }


def _official_overlap(pairs: Pairs) -> Floats:
    """[N] IoU of the first window in the list; NaN where a side has none, which stops the official evaluator."""
    listed = pad([row.windows or () if row else () for row in pairs.predictions])
    truth = pairs.truth_windows
    scorable: Bools = listed.valid[:, 0] & truth.valid[:, 0]
    overlap = np.full(len(truth), np.nan)
    iou = first_iou(listed.take(scorable), truth.take(scorable))
    if iou is not None:
        overlap[scorable] = iou
    return overlap
