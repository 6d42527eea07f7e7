"""One benchmark's rules applied to one prediction file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tempo_core.errors import InputError
from tempo_core.metrics.arrays import Floats
from tempo_core.metrics.evaluation import refuse_other_queries
from tempo_core.metrics.pairing import group_rows, pair
from tempo_core.metrics.rows import PredictionRow, TruthRow, read_files
from tempo_core.metrics.rules import BENCHMARKS
from tempo_core.metrics.rules.base import Scores


@dataclass(frozen=True, kw_only=True, slots=True)
class RulesReport:
    """What one prediction file scores by one benchmark's rules."""

    rules: str
    title: str
    source: str
    """Whose evaluator it is equal to: repository, file, commit."""
    files: Mapping[str, str]
    counts: Mapping[str, int]
    scores: Scores
    """The evaluator's own names, nesting and rounding; None where it would print NaN or stop."""
    quantities: Mapping[str, float | None]
    """What other rules have too, in percent."""
    groups: Mapping[str, Mapping[str, Scores]]
    """The scores for each value of each field asked for."""
    missing: tuple[int | str, ...]
    unknown: tuple[int | str, ...]
    notes: tuple[str, ...]
    qids: tuple[int | str, ...]
    """[N] the queries that were scored; not part of the JSON."""
    overlap: Floats
    """[N] the IoU that the rules give each, 0 to 1, NaN where they score none; not part of the JSON."""

    @property
    def headline(self) -> Scores:
        """The scores that the evaluator sums up with: its `brief`, or else all."""
        return self.scores.get("brief", self.scores)

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object, documented in docs/evaluation.md."""
        report = {name: getattr(self, name) for name in self.__slots__ if name not in ("qids", "overlap")}
        return report | {name: list(report[name]) for name in ("missing", "unknown", "notes")}


def evaluate_files_by_rules(predictions: str | Path, truth: str | Path, **options: Any) -> RulesReport:
    """Read, check and score two files; options as for `evaluate_by_rules`. Raises InputError that names broken rows."""
    return evaluate_by_rules(**read_files(predictions, truth), **options)


def evaluate_by_rules(
    predictions: Sequence[PredictionRow],
    truth: Sequence[TruthRow],
    *,
    rules: str,
    by: Sequence[str] = (),
    partial: bool = False,
    files: Mapping[str, str] | None = None,
) -> RulesReport:
    """Score predictions by a benchmark's rules, a name of `BENCHMARKS`.

    A query without a prediction is left out, as every evaluator has it, and counted in a note; where the evaluator
    stops instead it is an InputError unless `partial`. `by` names fields of the ground truth to group by.
    """
    if rules not in BENCHMARKS:
        raise InputError(f"There are no rules {rules!r}; give one of {', '.join(BENCHMARKS)}.")
    benchmark = BENCHMARKS[rules]
    everything, pairs = pair(truth, predictions), pair(truth, predictions, partial=True)
    if benchmark.same_queries and not partial:
        refuse_other_queries(everything, benchmark.title)
    scored = benchmark.score(pairs)
    notes = [*pairs.notes, *scored.notes]
    if pairs.missing and not partial:
        notes.append(
            f"{len(pairs.missing)} queries have no prediction and are left out, as in the evaluator: leaving out hard "
            "queries flatters."
        )
    groups = {
        field: {
            value: benchmark.score(pairs.take(mask)).scores
            for value, mask in group_rows(pairs, field).items()
        }
        for field in by
    }
    return RulesReport(
        rules=rules,
        title=benchmark.title,
        source=benchmark.source,
        files=files or {"predictions": "predictions", "ground_truth": "ground truth"},
        counts={
            "ground_truth": len(truth),
            "scored": len(pairs.truth),
            "missing": len(pairs.missing),
            "unknown": len(pairs.unknown),
        },
        scores=scored.scores,
        quantities=scored.quantities,
        groups=groups,
        missing=pairs.missing,
        unknown=pairs.unknown,
        notes=tuple(notes),
        qids=tuple(row.qid for row in pairs.truth),
        overlap=scored.overlap,
    )
