"""The released moments against the corrected ones: the old ground truth scored as if a model had said it.

A score below 100 is what the corrections are worth on the benchmark: a model that had learned the old moments
by heart would score this much. The official evaluator knows no refusals, so it sees only rows that have
moments both before and after; the strict rules see all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from annotations.exporting import ExportRule
from annotations.records import ResolvedAnswer
from annotations.rows import Split
from annotations.snapshot import Snapshot, SnapshotRow
from tempo_core.errors import InputError
from tempo_core.metrics import Evaluation, PredictionRow, TruthRow, evaluate

SAMPLES = 400
"""Bootstrap samples of the confidence intervals; the page waits for them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Both scores of the released moments."""

    strict: Evaluation
    official: Evaluation | None
    """None when no row has moments both before and after."""
    rows: int
    """Rows with an answer before and after."""
    changed: int
    """Rows whose moments are not the released ones."""
    unscored: int
    """Rows that the official rules cannot score, because one side refuses."""


def compare_with_original(
    snapshot: Snapshot,
    *,
    dataset: str,
    split: Split | None = None,
    rule: ExportRule = "latest",
    reviewed_only: bool = False,
) -> Comparison:
    """Score the released moments against the answers that hold; `reviewed_only` leaves untouched rows out.

    Raises InputError when there is nothing to score.
    """
    if rule == "majority":
        raise InputError("The comparison takes the rule latest or adjudicated; got majority.")
    pairs = [
        pair
        for pair in _pairs(snapshot, dataset, split, rule)
        if not reviewed_only or pair[1].source != "original"
    ]
    if not pairs:
        raise InputError(
            f"{dataset} has no {'reviewed ' if reviewed_only else ''}rows with moments to compare. "
            "Import rows with ground truth, or correct some first."
        )
    both = [(row, answer) for row, answer in pairs if row.row.windows and answer.moments]
    return Comparison(
        strict=_evaluate(pairs, "strict", dataset),
        official=_evaluate(both, "official", dataset) if both else None,
        rows=len(pairs),
        changed=sum(_said_before(row) != _said_after(answer) for row, answer in pairs),
        unscored=len(pairs) - len(both),
    )


def _pairs(
    snapshot: Snapshot, dataset: str, split: Split | None, rule: ExportRule
) -> Iterator[tuple[SnapshotRow, ResolvedAnswer]]:
    for each in snapshot.rows(splits=None if split is None else [split]):
        answer = each.resolved("latest" if rule == "latest" else "adjudicated")
        known = each.row.verdict in ("moments", "no-moment") and answer.verdict in ("moments", "no-moment")
        if each.dataset == dataset and known:
            yield each, answer


def _said_before(each: SnapshotRow) -> tuple[tuple[float, float], ...]:
    return tuple((start_s, end_s) for start_s, end_s in each.row.windows or ())


def _said_after(answer: ResolvedAnswer) -> tuple[tuple[float, float], ...]:
    return tuple((moment.start_s, moment.end_s) for moment in answer.moments or ())


def _evaluate(pairs: list[tuple[SnapshotRow, ResolvedAnswer]], rules: str, dataset: str) -> Evaluation:
    predictions, truth = [], []
    for line, (each, answer) in enumerate(pairs, start=1):
        row, before = each.row, _said_before(each)
        predictions.append(
            PredictionRow(
                line=line,
                qid=row.qid_value,
                query=row.query,
                vid=row.vid,
                windows=tuple((start_s, end_s, 1.0) for start_s, end_s in before),
                moments=before,
                saliency=None,
                relevance=1.0 if before else 0.0,
                refused=not before,
            )
        )
        truth.append(
            TruthRow(
                line=line,
                qid=row.qid_value,
                query=row.query,
                vid=row.vid,
                duration_s=row.duration_s,
                windows=_said_after(answer),
                clip_ids=None,
                saliency=None,
                fields={},
            )
        )
    files = {"predictions": f"{dataset} as released", "ground_truth": f"{dataset} corrected"}
    return evaluate(predictions, truth, rules=rules, samples=SAMPLES, files=files)  # type: ignore[arg-type]
