"""What corrections cost: seconds and keys to repair a model's answer, and each annotator's pace. Read-only.

The seconds and keys are those of the submitted version: working time without idle stretches, as the page
counted it. A version without them is counted but has no share in the medians.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from sqlalchemy import Connection, select

from annotations import reading, tables
from annotations.agreement import matched_tiou
from annotations.records import ADJUDICATION, Correction, Proposal, Query, latest_of_each
from annotations.reviewing import model_name, proposed_moments
from annotations.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectionCost:
    """One annotator's answer to a query whose proposal they saw."""

    query_id: int
    proposal_id: int
    model: str
    annotator: str
    arm: str | None
    active_s: float | None
    key_presses: int | None
    tiou: float
    """Mean matched IoU of the proposal with the answer; 1 when both say that nothing matches."""
    accepted: bool
    """The answer is the proposal, to the millisecond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CostSummary:
    """The repairs of one model's proposals, or the work of one annotator."""

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

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorPace:
    """One annotator's work."""

    cost: CostSummary
    refusals: int
    cannot_judge: int
    flagged: int


def correction_costs(store: Store, *, dataset: str | None = None) -> list[CorrectionCost]:
    """Every newest answer that started from a proposal, in the order of queries."""
    found = []
    with store.database.read() as connection:
        for _, versions, proposals in _answered(connection, dataset):
            for each in versions:
                proposal = proposals.get(each.edit.proposal_id or 0)
                if proposal is not None and each.edit.verdict != "cannot-judge":
                    found.append(_correction_cost(each, proposal))
    return found


def cost_by_model(found: Sequence[CorrectionCost]) -> list[CostSummary]:
    """The repairs of each model's proposals, by model."""
    models = sorted({each.model for each in found})
    return [_cost(name, [each for each in found if each.model == name]) for name in models]


def pace_by_annotator(store: Store, *, dataset: str | None = None) -> list[AnnotatorPace]:
    """Each annotator's newest submitted answers against the released moments, by annotator."""
    mine: dict[str, list[tuple[Query, Correction]]] = {}
    with store.database.read() as connection:
        for query, versions, _ in _answered(connection, dataset):
            for each in versions:
                mine.setdefault(each.annotator, []).append((query, each))
    return [_pace(name, answers) for name, answers in sorted(mine.items())]


def _answered(
    connection: Connection, dataset: str | None
) -> Iterator[tuple[Query, list[Correction], dict[int, Proposal]]]:
    """Queries with each annotator's newest submitted version and the proposals by id."""
    place = tables.queue
    statement = select(place.c.query_id).where(place.c.reviews > 0).order_by(place.c.query_id)
    if dataset is not None:
        statement = statement.where(place.c.dataset == dataset)
    for ids in reading.chunks(connection.execute(statement).scalars().all()):
        queries = reading.queries(connection, ids)
        versions = reading.corrections(connection, ids)
        proposed = reading.proposals(connection, ids)
        for query_id in ids:
            newest = latest_of_each(versions[query_id])
            given = {each.id: each for each in proposed[query_id]}
            yield queries[query_id], [each for each in newest if each.edit.arm != ADJUDICATION], given


def _correction_cost(answer: Correction, proposal: Proposal) -> CorrectionCost:
    edit = answer.edit
    proposed = [moment for moment, _ in proposed_moments(proposal.prediction)]
    return CorrectionCost(
        query_id=answer.query_id,
        proposal_id=proposal.id,
        model=model_name(proposal.prediction),
        annotator=answer.annotator,
        arm=edit.arm,
        active_s=None if edit.active_ms is None else edit.active_ms / 1000,
        key_presses=edit.key_presses,
        tiou=matched_tiou(proposed, edit.windows),
        accepted=[each.to_ms() for each in proposed] == [each.to_ms() for each in edit.windows],
    )


def _pace(name: str, answers: Sequence[tuple[Query, Correction]]) -> AnnotatorPace:
    edits = [each.edit for _, each in answers]
    judged = [
        CorrectionCost(
            query_id=query.id,
            proposal_id=0,
            model="",
            annotator=name,
            arm=each.edit.arm,
            active_s=None if each.edit.active_ms is None else each.edit.active_ms / 1000,
            key_presses=each.edit.key_presses,
            tiou=matched_tiou(query.original or [], each.edit.windows),
            accepted=[m.to_ms() for m in query.original or ()] == [m.to_ms() for m in each.edit.windows],
        )
        for query, each in answers
        if each.edit.verdict != "cannot-judge" and query.original is not None
    ]
    return AnnotatorPace(
        cost=_cost(name, judged),
        refusals=sum(edit.verdict == "no-moment" for edit in edits),
        cannot_judge=sum(edit.verdict == "cannot-judge" for edit in edits),
        flagged=sum(edit.flagged for edit in edits),
    )


def _cost(name: str, found: Sequence[CorrectionCost]) -> CostSummary:
    seconds = [each.active_s for each in found if each.active_s is not None]
    keys = [float(each.key_presses) for each in found if each.key_presses is not None]
    return CostSummary(
        name=name,
        answers=len(found),
        unchanged=sum(each.accepted for each in found) / len(found) if found else 0.0,
        mean_tiou=sum(each.tiou for each in found) / len(found) if found else None,
        seconds_median=median(seconds) if seconds else None,
        seconds_p75=_p75(seconds),
        keys_median=median(keys) if keys else None,
        keys_p75=_p75(keys),
    )


def _p75(values: Sequence[float]) -> float | None:
    """The value that three quarters do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[-(-3 * len(ranked) // 4) - 1] if ranked else None
