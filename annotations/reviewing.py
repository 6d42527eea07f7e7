"""Adjudication: what an adjudicator sees of a query, and how the decision gets into the store.

A decision names one submitted correction. Adopting an annotator's answer unchanged names theirs; anything
else (the model's, the original, or the adjudicator's own edges) becomes the adjudicator's own correction
first, marked with the arm ADJUDICATION so that agreement figures leave it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from annotations.agreement import Version
from annotations.consensus import Consensus, median_consensus
from annotations.errors import Conflict
from annotations.proposers import named_proposals
from annotations.records import (
    ADJUDICATION,
    Correction,
    EdgeSource,
    Edit,
    EditedMoment,
    Prediction,
    Proposal,
    Query,
    Verdict,
)
from annotations.store import Store
from annotations.suspicion import confident_moments, lowest_agreement
from tempo_core.errors import InputError
from tempo_core.moments import Moment, merge

MAX_CANDIDATES = 9
"""Rows that a digit key can adopt."""
SHOWN_FIELDS = ("verdict", "reason", "note", "flagged", "active_ms", "key_presses")
"""What an adjudicator sees of an edit beside its moments."""
MAX_OP_ID = 190
"""Characters; a decision's own correction adds a few to its operation id."""

Kind = Literal["annotator", "model", "original"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One row that can be adopted."""

    kind: Kind
    name: str
    """The annotator, the model, or the dataset."""
    edit: Edit
    id: int | None
    """Of the correction or the proposal; None for the original."""
    confidences: tuple[float | None, ...] = ()
    """For each moment of a model's row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewItem:
    """A query as an adjudicator gets it."""

    query: Query
    candidates: tuple[Candidate, ...]
    """At most MAX_CANDIDATES: annotators by name, then the newest answer of a model that is named for the dataset,
    then the original."""
    consensus: Consensus
    start: Edit
    """Where the adjudicator's own lane begins: the adopted answer, else the consensus. A draft."""
    agreement: float | None
    """Lowest set IoU of two annotators' versions."""
    verdict: Verdict | None
    parent_id: int | None
    """The adjudicator's own present version, which their next one follows."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, for the page."""
        return {
            "query_id": self.query.id,
            "candidates": [
                {
                    "key": key,
                    "kind": candidate.kind,
                    "name": candidate.name,
                    "id": candidate.id,
                    **{name: getattr(candidate.edit, name) for name in SHOWN_FIELDS},
                    "moments": [
                        {"start_ms": moment.start_ms, "end_ms": moment.end_ms}
                        for moment in candidate.edit.moments
                    ],
                    "confidences": list(candidate.confidences),
                }
                for key, candidate in enumerate(self.candidates, start=1)
            ],
            "consensus": {"support": list(self.consensus.support), "voters": self.consensus.voters},
            "start": self.start.to_dict(),
            "agreement": self.agreement,
            "verdict": None
            if self.verdict is None
            else {
                name: getattr(self.verdict, name)
                for name in ("id", "adjudicator", "correction_id", "created_at_ms", "note")
            },
            "parent_id": self.parent_id,
        }


def review_item(store: Store, query_id: int, adjudicator: str) -> ReviewItem:
    """What there is to decide on. Read-only. Raises NotFound."""
    records = store.records(query_id)
    query, versions = records.query, records.independent_versions
    own_ids = [version.id for version in records.corrections if version.annotator == adjudicator]
    consensus = median_consensus([Version.of(version) for version in versions])
    if records.adopted is not None:
        start = replace(records.adopted.edit, submitted=False)
    else:
        reason = "the annotators found nothing" if consensus.verdict == "no-moment" else "nobody could judge"
        start = _edit(consensus.moments, "hand", reason, submitted=False)
        start = replace(start, verdict=consensus.verdict, arm=ADJUDICATION)
    judged = [version.edit.windows for version in versions if version.verdict != "cannot-judge"]
    return ReviewItem(
        query=query,
        candidates=_candidates(
            query, versions, named_proposals(records.proposals, store.proposers(query.dataset))
        ),
        consensus=consensus,
        start=start,
        agreement=lowest_agreement(judged),
        verdict=records.verdicts[-1] if records.verdicts else None,
        parent_id=own_ids[-1] if own_ids else None,
    )


def adopt(
    store: Store,
    query_id: int,
    *,
    kind: Kind,
    candidate_id: int | None,
    adjudicator: str,
    verdict_parent_id: int | None,
    parent_id: int | None,
    op_id: str,
    active_ms: int | None = None,
    key_presses: int | None = None,
    note: str | None = None,
) -> Verdict:
    """Make a candidate the answer, unchanged. Parents are as for `decide`. Raises Conflict."""
    if kind == "annotator":
        if candidate_id is None:
            raise InputError("An annotator's answer is named by its correction; give its id.")
        return store.adjudicate(
            query_id,
            correction_id=candidate_id,
            adjudicator=adjudicator,
            parent_id=verdict_parent_id,
            op_id=op_id,
            note=note,
        )
    query = store.query(query_id)
    proposals = [proposal for proposal in store.proposals(query_id) if proposal.id == candidate_id]
    edits = {
        (candidate.kind, candidate.id): candidate.edit for candidate in _candidates(query, (), proposals)
    }
    if (kind, candidate_id) not in edits:
        raise InputError(
            f"Query {query_id} has no {kind} {'' if candidate_id is None else candidate_id} to adopt. "
            "Load the query again."
        )
    edit = replace(
        edits[kind, candidate_id],
        proposal_id=candidate_id if kind == "model" else None,
        active_ms=active_ms,
        key_presses=key_presses,
    )
    return decide(
        store,
        query_id,
        edit,
        adjudicator=adjudicator,
        verdict_parent_id=verdict_parent_id,
        parent_id=parent_id,
        op_id=op_id,
        note=note,
    )


def decide(
    store: Store,
    query_id: int,
    edit: Edit,
    *,
    adjudicator: str,
    verdict_parent_id: int | None,
    parent_id: int | None,
    op_id: str,
    note: str | None = None,
) -> Verdict:
    """Store the adjudicator's own answer and name it the verdict; sent twice, it is done once.

    `verdict_parent_id` is the verdict and `parent_id` the adjudicator's own version that they saw (None: none).
    Raises Conflict, before anything is written, when another verdict was given since.
    """
    if not 0 < len(op_id) <= MAX_OP_ID:
        raise InputError(f"An operation id has 1 to {MAX_OP_ID} characters; got {len(op_id)}. Send a UUID.")
    present = store.verdict(query_id)
    is_repeated = present is not None and present.op_id == op_id
    if not is_repeated and verdict_parent_id != (None if present is None else present.id):
        author = "nobody" if present is None else present.adjudicator
        raise Conflict(
            f"The decision on query {query_id} is not the one that you saw: it is by {author}. "
            "Compare both; yours was not saved.",
            yours=edit,
            theirs=present,
            parent_id=verdict_parent_id,
        )
    own_edit = replace(edit, submitted=True, arm=ADJUDICATION)
    correction = store.submit(
        query_id, own_edit, annotator=adjudicator, parent_id=parent_id, op_id=f"{op_id}:edit"
    )
    return store.adjudicate(
        query_id,
        correction_id=correction.id,
        adjudicator=adjudicator,
        parent_id=verdict_parent_id,
        op_id=op_id,
        note=note,
    )


def proposed_moments(prediction: Prediction) -> list[tuple[Moment, float | None]]:
    """A model's answer as a set (`suspicion.confident_moments`), sorted.

    Moments that overlap are joined and keep the highest confidence.
    """
    if prediction.refused:
        return []
    ranked = [
        (Moment.from_ms(moment.start_ms, moment.end_ms), moment.confidence) for moment in prediction.moments
    ]
    answer = confident_moments(ranked)
    joined = []
    for whole in merge(moment for moment, _ in answer):
        confidences = [
            confidence
            for moment, confidence in answer
            if confidence is not None and whole.start_s <= moment.start_s < whole.end_s
        ]
        joined.append((whole, max(confidences, default=None)))
    return joined


def _candidates(
    query: Query, versions: Sequence[Correction], proposals: Sequence[Proposal]
) -> tuple[Candidate, ...]:
    offers: list[Candidate] = []
    if proposals:
        proposal = proposals[-1]
        answer = proposed_moments(proposal.prediction)
        offers.append(
            Candidate(
                kind="model",
                name=proposal.prediction.model_name,
                edit=_edit([moment for moment, _ in answer], "model", "the model found nothing"),
                id=proposal.id,
                confidences=tuple(confidence for _, confidence in answer),
            )
        )
    if query.original is not None:
        reason = query.row.reason or "the original says so"
        edit = _edit(query.original, "original", reason)
        offers.append(Candidate(kind="original", name=query.dataset, edit=edit, id=None))
    people = [
        Candidate(kind="annotator", name=version.annotator, edit=version.edit, id=version.id)
        for version in versions
    ]
    return (*people[: MAX_CANDIDATES - len(offers)], *offers)


def _edit(moments: Sequence[Moment], source: EdgeSource, reason: str, *, submitted: bool = True) -> Edit:
    """The moments as an edit, those that overlap joined; without any, a refusal for this reason."""
    ordered = sorted(moments)
    if any(after.start_s < before.end_s for before, after in pairwise(ordered)):
        ordered = merge(ordered)
    if not ordered:
        return Edit(verdict="no-moment", reason=reason, submitted=submitted)
    edited_moments = tuple(EditedMoment.of(moment, source) for moment in ordered)
    return Edit(verdict="moments", moments=edited_moments, submitted=submitted)
