"""What seeing a proposal does to an answer (anchoring), measured on decided queries. Read-only.

Nothing is planted: a start that the adjudicated answer showed to be wrong is a wrong proposal, and an answer that is
still that start, to the millisecond, kept it. The blind arm, which was shown nothing, is what the others are held
against. Why it is measured: arXiv 2509.08514.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select

from annotations import reading, tables
from annotations.agreement import matched_tiou
from annotations.records import ADJUDICATION, Correction, Proposal, Query, latest_of_each
from annotations.reviewing import proposed_moments
from annotations.store import Store
from tempo_core.moments import Moment

RIGHT_TIOU = 0.7
"""From this matched tIoU with the decision on, what was shown counts as right: the strict bar of R1@.7."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchoredAnswer:
    """One answer to a decided query, and what it started from."""

    query_id: int
    annotator: str
    arm: str | None
    tiou: float
    """Mean matched IoU of the answer with the decision."""
    right_start: bool | None
    """Whether what was shown is right; None where nothing was."""
    unchanged: bool
    """The answer is what was shown, to the millisecond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchoring:
    """The answers of one annotator or of one arm."""

    name: str
    answers: int
    mean_tiou: float
    right: int
    """Answers that were shown something right, and how many of them are still that."""
    right_unchanged: int
    wrong: int
    """Answers that were shown something wrong, and how many of them are still that."""
    wrong_unchanged: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def anchored_answers(store: Store, *, dataset: str | None = None) -> list[AnchoredAnswer]:
    """Every annotator's newest answer to each query with an adjudicated one, in the order of queries.

    Answers and decisions that nothing can be judged, and those given in order to decide, are left out.
    """
    statement = select(tables.verdicts.c.query_id).distinct().order_by(tables.verdicts.c.query_id)
    if dataset is not None:
        statement = statement.join(tables.queries, tables.queries.c.id == tables.verdicts.c.query_id)
        statement = statement.where(tables.queries.c.dataset == dataset)
    found = []
    with store.database.read() as connection:
        for ids in reading.chunks(connection.execute(statement).scalars().all()):
            queries, given = reading.queries(connection, ids), reading.corrections(connection, ids)
            decided, proposed = reading.verdicts(connection, ids), reading.proposals(connection, ids)
            for query_id in ids:
                adopted = decided[query_id][-1].correction_id
                decision = next(each for each in given[query_id] if each.id == adopted)
                if decision.edit.verdict != "cannot-judge":
                    shown = {each.id: each for each in proposed[query_id]}
                    found += _of_query(queries[query_id], decision, given[query_id], shown)
    return found


def by_annotator(found: Sequence[AnchoredAnswer]) -> list[Anchoring]:
    """One line an annotator, by name."""
    names = sorted({each.annotator for each in found})
    return [_anchoring(name, [each for each in found if each.annotator == name]) for name in names]


def by_arm(found: Sequence[AnchoredAnswer]) -> list[Anchoring]:
    """One line an arm, by name; answers from elsewhere (imports, scripts) have none."""
    names = sorted({each.arm for each in found if each.arm is not None})
    return [_anchoring(name, [each for each in found if each.arm == name]) for name in names]


def _of_query(
    query: Query, decision: Correction, given: Sequence[Correction], shown: dict[int, Proposal]
) -> list[AnchoredAnswer]:
    answers = [
        each
        for each in latest_of_each(given)
        if each.edit.arm != ADJUDICATION and each.edit.verdict != "cannot-judge"
    ]
    found = []
    for each in answers:
        start = _start(query, each, shown)
        found.append(
            AnchoredAnswer(
                query_id=query.id,
                annotator=each.annotator,
                arm=each.edit.arm,
                tiou=matched_tiou(each.edit.windows, decision.edit.windows),
                right_start=None
                if start is None
                else matched_tiou(start, decision.edit.windows) >= RIGHT_TIOU,
                unchanged=start is not None and _same(start, each.edit.windows),
            )
        )
    return found


def _start(query: Query, answer: Correction, shown: dict[int, Proposal]) -> list[Moment] | None:
    """What the arm put in front of the annotator; None for the blind arm and where there was nothing to show."""
    if answer.edit.arm == "original-first":
        return query.original
    if answer.edit.arm == "model-first" and answer.edit.proposal_id in shown:
        return [moment for moment, _ in proposed_moments(shown[answer.edit.proposal_id].prediction)]
    return None


def _same(a: Sequence[Moment], b: Sequence[Moment]) -> bool:
    return [each.to_ms() for each in a] == [each.to_ms() for each in b]


def _anchoring(name: str, found: Sequence[AnchoredAnswer]) -> Anchoring:
    right = [each for each in found if each.right_start]
    wrong = [each for each in found if each.right_start is False]
    return Anchoring(
        name=name,
        answers=len(found),
        mean_tiou=sum(each.tiou for each in found) / len(found),
        right=len(right),
        right_unchanged=sum(each.unchanged for each in right),
        wrong=len(wrong),
        wrong_unchanged=sum(each.unchanged for each in wrong),
    )
