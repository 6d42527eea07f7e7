"""What corrections cost: seconds and keys to correct a model's answer, and each annotator's pace.

They are worked out from what `Store.answered_records` gives. The seconds and keys are those of the submitted version:
working time without idle stretches, as the page counted it. A version without them is counted but has no share in the
medians.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from annotations.agreement import matched_tiou
from annotations.reading import QueryRecords
from annotations.records import Correction
from annotations.reviewing import proposed_moments
from tempo_core.moments import Moment


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectionCost:
    """What one annotator's answer took, from the moments that they started from."""

    query_id: int
    model: str
    """Whose answer they saw; empty where the released moments are the start."""
    annotator: str
    active_s: float | None
    key_presses: int | None
    tiou: float
    """Mean matched IoU of the start with the answer; 1 when both say that nothing matches."""
    accepted: bool
    """The answer is the start, to the millisecond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CostSummary:
    """The corrections of one model's proposals, or the work of one annotator."""

    name: str
    answers: int
    """Submitted newest versions."""
    unchanged: float
    """Share that says what was proposed (a model) or what was released (an annotator), 0..1."""
    mean_tiou: float | None
    """Mean matched IoU with what was proposed or released."""
    seconds_median: float | None
    seconds_p75: float | None
    keys_median: float | None
    keys_p75: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorPace:
    """One annotator's work."""

    cost: CostSummary
    refusals: int
    cannot_judge: int
    flagged: int


def correction_costs(queries: Iterable[QueryRecords]) -> list[CorrectionCost]:
    """Every newest answer that started from a proposal, in the order of queries."""
    costs = []
    for records in queries:
        proposals = {proposal.id: proposal for proposal in records.proposals}
        for version in records.independent_versions:
            proposal = proposals.get(version.edit.proposal_id or 0)
            if proposal is not None and version.verdict != "cannot-judge":
                start = [moment for moment, _ in proposed_moments(proposal.prediction)]
                costs.append(_cost(version, start, proposal.prediction.model_name))
    return costs


def cost_by_model(costs: Sequence[CorrectionCost]) -> list[CostSummary]:
    """The corrections of each model's proposals, by model."""
    models = sorted({cost.model for cost in costs})
    return [_summary(model, [cost for cost in costs if cost.model == model]) for model in models]


def pace_by_annotator(queries: Iterable[QueryRecords]) -> list[AnnotatorPace]:
    """Each annotator's newest submitted answers against the released moments, by annotator."""
    versions: dict[str, list[Correction]] = {}
    costs: dict[str, list[CorrectionCost]] = {}
    for records in queries:
        for version in records.independent_versions:
            versions.setdefault(version.annotator, []).append(version)
            if version.verdict != "cannot-judge" and records.query.original is not None:
                costs.setdefault(version.annotator, []).append(_cost(version, records.query.original, ""))
    paces = []
    for annotator, own_versions in sorted(versions.items()):
        verdicts = [version.verdict for version in own_versions]
        paces.append(
            AnnotatorPace(
                cost=_summary(annotator, costs.get(annotator, [])),
                refusals=verdicts.count("no-moment"),
                cannot_judge=verdicts.count("cannot-judge"),
                flagged=sum(version.edit.flagged for version in own_versions),
            )
        )
    return paces


def _cost(answer: Correction, start: Sequence[Moment], model: str) -> CorrectionCost:
    edit = answer.edit
    return CorrectionCost(
        query_id=answer.query_id,
        model=model,
        annotator=answer.annotator,
        active_s=None if edit.active_ms is None else edit.active_ms / 1000,
        key_presses=edit.key_presses,
        tiou=matched_tiou(start, edit.windows),
        accepted=[moment.to_ms() for moment in start] == [moment.to_ms() for moment in edit.windows],
    )


def _summary(name: str, costs: Sequence[CorrectionCost]) -> CostSummary:
    seconds = [cost.active_s for cost in costs if cost.active_s is not None]
    keys = [float(cost.key_presses) for cost in costs if cost.key_presses is not None]
    return CostSummary(
        name=name,
        answers=len(costs),
        unchanged=sum(cost.accepted for cost in costs) / len(costs) if costs else 0.0,
        mean_tiou=sum(cost.tiou for cost in costs) / len(costs) if costs else None,
        seconds_median=median(seconds) if seconds else None,
        seconds_p75=_third_quartile(seconds),
        keys_median=median(keys) if keys else None,
        keys_p75=_third_quartile(keys),
    )


def _third_quartile(values: Sequence[float]) -> float | None:
    """The value that three quarters do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[-(-3 * len(ranked) // 4) - 1] if ranked else None
