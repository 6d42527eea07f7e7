"""The order by expected gain: how much a minute of work on a row is likely to change.

    gain = (label change + model error) / 2 / minutes

- **label change**: 1 - matched tIoU of what the row holds now with what people will answer. Held-out scores rise when
  such labels no longer teach what is wrong.
- **model error**: 1 - matched tIoU of the model's newest answer with what people will answer. It is what the row can
  teach.
- **minutes**: what an answer to a row with as many moments has taken.

Both kinds of change are linear in the row's features: 1, the strength of each suspicion (`suspicion.ReasonRule`), and
the model's uncertainty. Their weights w come from what the answers so far have changed (`answer_effects`). They are
pulled toward weights p that count as PRIOR_ROWS answers, so that a reason that nobody has met yet keeps its old worth
(ridge regression around a prior; Hoerl and Kennard, Technometrics 12, 1970):

    w = argmin sum over answers of (change - features . w)^2 + PRIOR_ROWS * |w - p|^2

Seconds are the mean of those answers, pulled toward the mean of all in the same way. Predictions are cut to [0, 1].
A row that was released with n moments costs what such rows have cost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, and_, func, or_, select

from annotations import reading, tables
from annotations.agreement import matched_tiou
from annotations.choices import Reason
from annotations.proposers import ANY, named_proposals
from annotations.reading import QueryRecords
from annotations.records import ADJUDICATION, PLANTED
from annotations.suspicion import REASONS, confident_moments, suspicions
from tempo_core.moments import Moment

FEATURES: tuple[str, ...] = ("row", *REASONS, "uncertainty")
MODEL_REASONS: tuple[Reason, ...] = ("model-disagrees", "proposal-outside")
"""Suspicions that set the model against the row: one of the two is wrong."""
BASE_CHANGE = 0.05
"""Expected change of a row that nothing is said of."""
CHANGE_SIZE = 0.5
"""How much of a row a correction changes, where it changes something; suspicion's weights are chances only."""
UNSURE_ERROR = 0.5
"""Expected error of a model that is wholly unsure."""
PRIOR_ROWS = 8.0
"""Answers that the prior weights count as. A judgement, not a fit."""
PRIOR_SECONDS = 45.0
"""What an answer takes before anybody has given one."""
MAX_MOMENTS = 4
"""Rows with more moments count as this many when time is estimated."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerEffect:
    """What one answer changed, and what was known of its row before."""

    query_id: int
    reasons: Mapping[str, float]
    """The number of each suspicion that the row had."""
    uncertainty: float
    """Of the model about the row, 0..1 (`uncertainty`)."""
    moment_count: int
    """Moments that the row was released with."""
    change: float | None
    """1 - matched tIoU of what the row held with the answer; None where it held nothing that is known."""
    model_error: float | None
    """1 - matched tIoU of the model's answer with the answer; None without one."""
    active_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class GainEstimate:
    """The weights of the formula; `of([])` gives the prior."""

    change_weights: tuple[float, ...]
    """By FEATURES."""
    error_weights: tuple[float, ...]
    """By FEATURES."""
    seconds: tuple[float, ...]
    """What an answer takes to a row with 0, 1, ... MAX_MOMENTS moments."""
    answers: int
    """Answers behind it."""

    @classmethod
    def of(cls, effects: Sequence[AnswerEffect]) -> Self:
        """The weights that these answers give."""
        features = np.array([_features(effect.reasons, effect.uncertainty) for effect in effects])
        changes = _ridge(features, [effect.change for effect in effects], _CHANGE_PRIOR)
        errors = _ridge(features, [effect.model_error for effect in effects], _ERROR_PRIOR)
        timed = [(min(effect.moment_count, MAX_MOMENTS), effect.active_s) for effect in effects]
        known_s = [seconds for _, seconds in timed if seconds is not None]
        mean_s = (PRIOR_ROWS * PRIOR_SECONDS + sum(known_s)) / (PRIOR_ROWS + len(known_s))
        seconds = []
        for count in range(MAX_MOMENTS + 1):
            own_s = [taken_s for moments, taken_s in timed if moments == count and taken_s is not None]
            seconds.append((PRIOR_ROWS * mean_s + sum(own_s)) / (PRIOR_ROWS + len(own_s)))
        return cls(
            change_weights=tuple(changes.tolist()),
            error_weights=tuple(errors.tolist()),
            seconds=tuple(seconds),
            answers=len(effects),
        )

    def gain(self, reasons: Mapping[str, float], uncertainty: float, moment_count: int) -> float:
        """Expected change for a minute of work on a row; the arguments are an AnswerEffect's."""
        features = _features(reasons, uncertainty)
        change = float(np.clip(features @ np.array(self.change_weights), 0, 1))
        error = float(np.clip(features @ np.array(self.error_weights), 0, 1))
        minutes = max(1.0, self.seconds[min(moment_count, MAX_MOMENTS)]) / 60
        return (change + error) / 2 / minutes

    def to_dict(self) -> dict[str, Any]:
        """JSON values; what `from_dict` reads."""
        return {
            "features": list(FEATURES),
            "change_weights": list(self.change_weights),
            "error_weights": list(self.error_weights),
            "seconds": list(self.seconds),
            "answers": self.answers,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Self:
        """The estimate that was stored; the prior for None, and for one with other features than today's."""
        if values is None or values["features"] != list(FEATURES):
            return cls.of([])
        return cls(
            change_weights=tuple(values["change_weights"]),
            error_weights=tuple(values["error_weights"]),
            seconds=tuple(values["seconds"]),
            answers=values["answers"],
        )


def uncertainty(
    proposal: Sequence[tuple[Moment, float | None]] | None, relevance: float | None = None
) -> float:
    """1 - the probability that the model gives to what it says, 0..1; 1 without an answer of a model.

    `proposal` is as for `suspicion.suspicions`, `relevance` P(some moment matches). An answer without figures counts
    as half sure.
    """
    if proposal is None:
        return 1.0
    if not proposal:
        return 0.5 if relevance is None else relevance
    confidences = [confidence for _, confidence in confident_moments(proposal) if confidence is not None]
    if not confidences:
        return 0.5
    return 1.0 - (1.0 if relevance is None else relevance) * sum(confidences) / len(confidences)


def answer_effects(
    queries: Iterable[QueryRecords],
    *,
    positions: Mapping[str, int],
    names: Mapping[str, frozenset[str]],
    duplicates: Mapping[int, int],
) -> list[AnswerEffect]:
    """What each annotator's first answer to a row changed, in the order of queries.

    It is held against what was known just before it: the answer that held then, the suspicions of that, and the newest
    proposal. `positions` are those of operations in the store's log, which is the order of writing; `names` the models
    that are named for each dataset, `duplicates` how many other rows ask the same, by query id.
    """
    effects = []
    for records in queries:
        row = records.query.row
        named = named_proposals(records.proposals, names.get(records.query.dataset, frozenset()))
        moments = records.query.original
        earlier: dict[str, Sequence[Moment]] = {}
        for version in records.corrections:
            edit = version.edit
            is_counted = (
                edit.submitted and edit.arm not in (ADJUDICATION, PLANTED) and edit.verdict != "cannot-judge"
            )
            if not is_counted:
                continue
            if version.annotator not in earlier:
                # An operation that the log has lost (`annotations.checks` tells) counts as the first.
                position = positions.get(version.op_id, 0)
                before = [proposal for proposal in named if positions.get(proposal.op_id, 0) < position]
                prediction = before[-1].prediction if before else None
                proposal = None
                if prediction is not None:
                    proposal = [
                        (Moment.from_ms(moment.start_ms, moment.end_ms), moment.confidence)
                        for moment in prediction.moments
                    ]
                reasons = suspicions(
                    windows=moments,
                    duration_s=row.duration_s,
                    vid=row.vid,
                    clip_ids=row.relevant_clip_ids or (),
                    saliency=row.saliency_scores or (),
                    proposal=proposal,
                    duplicates=duplicates.get(records.query.id, 0),
                    versions=list(earlier.values()),
                )
                model_error = None
                if proposal is not None:
                    proposed = [moment for moment, _ in confident_moments(proposal)]
                    model_error = 1.0 - matched_tiou(proposed, edit.windows)
                effects.append(
                    AnswerEffect(
                        query_id=records.query.id,
                        reasons={reason.reason: reason.number for reason in reasons},
                        uncertainty=uncertainty(
                            proposal, None if prediction is None else prediction.relevance
                        ),
                        moment_count=len(records.query.original or ()),
                        change=None if moments is None else 1.0 - matched_tiou(moments, edit.windows),
                        model_error=model_error,
                        active_s=None if edit.active_ms is None else edit.active_ms / 1000,
                    )
                )
            earlier[version.annotator] = moments = edit.windows
    return effects


def read_effects(connection: Connection) -> list[AnswerEffect]:
    """`answer_effects` of the whole store, without archived datasets. Read-only."""
    queries = list(reading.answered_records(connection, None))
    op_ids = [correction.op_id for records in queries for correction in records.corrections]
    op_ids += [proposal.op_id for records in queries for proposal in records.proposals]
    log, twin = tables.operation_log, tables.suspicions
    positions: dict[str, int] = {}
    for ids in reading.chunks(op_ids):
        statement = select(log.c.op_id, log.c.position).where(log.c.op_id.in_(ids))
        positions.update((row.op_id, row.position) for row in connection.execute(statement))
    named: dict[str, set[str]] = {}
    for row in connection.execute(select(tables.proposers)):
        named.setdefault(row.dataset, set()).add(row.model)
    is_duplicate = select(twin.c.query_id, twin.c.number).where(twin.c.reason == "duplicate-query")
    duplicates = {row.query_id: round(row.number) for row in connection.execute(is_duplicate)}
    names = {dataset: frozenset(models) for dataset, models in named.items()}
    return answer_effects(queries, positions=positions, names=names, duplicates=duplicates)


def row_gains(connection: Connection, estimate: GainEstimate) -> dict[int, float]:
    """The expected gain of every row of the queue, by query id. Read-only."""
    query, proposal, place, named = tables.queries, tables.proposals, tables.queue, tables.proposers
    begins_with_name = (
        func.substr(proposal.c.model_id, 1, func.length(named.c.model) + 1) == named.c.model + "@"
    )
    may_propose = or_(named.c.model == ANY, named.c.model == proposal.c.model_id, begins_with_name)
    newest_ids = (
        select(func.max(proposal.c.id))
        .join(query, query.c.id == proposal.c.query_id)
        .join(named, and_(named.c.dataset == query.c.dataset, may_propose))
        .group_by(proposal.c.query_id)
    )
    unsure: dict[int, float] = {}
    statement = select(proposal.c.query_id, proposal.c.moments, proposal.c.relevance).where(
        proposal.c.id.in_(newest_ids)
    )
    for row in connection.execute(statement):
        moments = [(Moment.from_ms(start_ms, end_ms), share) for start_ms, end_ms, share in row.moments]
        unsure[row.query_id] = uncertainty(moments, row.relevance)
    reasons: dict[int, dict[str, float]] = {}
    for row in connection.execute(select(tables.suspicions)):
        reasons.setdefault(row.query_id, {})[row.reason] = row.number
    rows = connection.execute(
        select(query.c.id, query.c.content).join(place, place.c.query_id == query.c.id).order_by(query.c.id)
    )
    return {
        row.id: estimate.gain(
            reasons.get(row.id, {}), unsure.get(row.id, 1.0), len(row.content.get("windows") or ())
        )
        for row in rows
    }


def _features(reasons: Mapping[str, float], unsureness: float) -> Floats:
    strengths = [rule.strength(reasons[name]) if name in reasons else 0.0 for name, rule in REASONS.items()]
    return np.array([1.0, *strengths, unsureness])


def _ridge(features: Floats, targets: Sequence[float | None], prior: Floats) -> Floats:
    """The weights, from the rows whose target is known."""
    rows = [index for index, target in enumerate(targets) if target is not None]
    if not rows:
        return prior
    x, y = features[rows], np.array([targets[index] for index in rows], dtype=float)
    normal = x.T @ x + PRIOR_ROWS * np.eye(len(prior))
    solution: Floats = np.linalg.solve(normal, x.T @ y + PRIOR_ROWS * prior)
    return solution


_CHANGE_PRIOR = np.array([BASE_CHANGE, *(CHANGE_SIZE * rule.weight for rule in REASONS.values()), 0.0])
_ERROR_PRIOR = np.array(
    [
        BASE_CHANGE,
        *(CHANGE_SIZE * rule.weight if reason in MODEL_REASONS else 0.0 for reason, rule in REASONS.items()),
        UNSURE_ERROR,
    ]
)
