"""The released moments against the corrected ones: the old ground truth scored as if a model had said it.

A score below 100 is what the corrections are worth on the benchmark: a model that had learned the old moments
by heart would score this much. The official evaluator knows no refusals, so it sees only rows that have
moments both before and after; the strict rules see all of them.
"""

from dataclasses import dataclass
from typing import Literal

from annotations.exporting import ExportRule
from annotations.rows import Row, Split, Windows
from annotations.snapshot import Snapshot
from tempo_core.errors import InputError
from tempo_core.metrics import Evaluation, PredictionRow, TruthRow, evaluate

BOOTSTRAP_SAMPLES = 400
"""Of the confidence intervals; the page waits for them."""


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
    judged = ("moments", "no-moment")
    pairs: list[tuple[Row, Windows]] = []
    for snapshot_row in snapshot.rows(splits=None if split is None else [split]):
        answer = snapshot_row.resolved(rule)
        if snapshot_row.dataset != dataset or (reviewed_only and answer.source == "original"):
            continue
        if snapshot_row.row.verdict in judged and answer.verdict in judged:
            windows = tuple((moment.start_s, moment.end_s) for moment in answer.moments or ())
            pairs.append((snapshot_row.row, windows))
    if not pairs:
        raise InputError(
            f"{dataset} has no {'reviewed ' if reviewed_only else ''}rows with moments to compare. "
            "Import rows with ground truth, or correct some first."
        )
    scorable = [(row, corrected) for row, corrected in pairs if row.windows and corrected]
    return Comparison(
        strict=_evaluation(pairs, "strict", dataset),
        official=_evaluation(scorable, "official", dataset) if scorable else None,
        rows=len(pairs),
        changed=sum((row.windows or ()) != corrected for row, corrected in pairs),
        unscored=len(pairs) - len(scorable),
    )


def _evaluation(
    pairs: list[tuple[Row, Windows]], rules: Literal["strict", "official"], dataset: str
) -> Evaluation:
    """The score of each row's released windows, as a model's answer, against its corrected ones."""
    predictions, truth = [], []
    for line, (row, corrected) in enumerate(pairs, start=1):
        released = row.windows or ()
        predictions.append(
            PredictionRow(
                line=line,
                qid=row.qid_value,
                query=row.query,
                vid=row.vid,
                windows=tuple((start_s, end_s, 1.0) for start_s, end_s in released),
                moments=released,
                relevance=1.0 if released else 0.0,
                refused=not released,
            )
        )
        truth.append(
            TruthRow(
                line=line,
                qid=row.qid_value,
                query=row.query,
                vid=row.vid,
                duration_s=row.duration_s,
                windows=corrected,
            )
        )
    files = {"predictions": f"{dataset} as released", "ground_truth": f"{dataset} corrected"}
    return evaluate(predictions, truth, rules=rules, samples=BOOTSTRAP_SAMPLES, files=files)
