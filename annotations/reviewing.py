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
from annotations.suspicion import CONFIDENT, lowest_agreement
from tempo_core.errors import InputError
from tempo_core.moments import Moment, merge

MAX_CANDIDATES = 9
"""Rows that a digit key can adopt."""
LONGEST_OP_ID = 190
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
    """A query on the adjudicator's desk."""

    query: Query
    candidates: tuple[Candidate, ...]
    """At most MAX_CANDIDATES: annotators by name, then the newest model's answer, then the original."""
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
                    "key": place,
                    "kind": each.kind,
                    "name": each.name,
                    "id": each.id,
                    "verdict": each.edit.verdict,
                    "reason": each.edit.reason,
                    "note": each.edit.note,
                    "flagged": each.edit.flagged,
                    "active_ms": each.edit.active_ms,
                    "key_presses": each.edit.key_presses,
                    "moments": [
                        {"start_ms": moment.start_ms, "end_ms": moment.end_ms} for moment in each.edit.moments
                    ],
                    "confidences": list(each.confidences),
                }
                for place, each in enumerate(self.candidates, start=1)
            ],
            "consensus": {"support": list(self.consensus.support), "voters": self.consensus.voters},
            "start": self.start.to_dict(),
            "agreement": self.agreement,
            "verdict": None
            if self.verdict is None
            else {
                "id": self.verdict.id,
                "adjudicator": self.verdict.adjudicator,
                "correction_id": self.verdict.correction_id,
                "created_at_ms": self.verdict.created_at_ms,
                "note": self.verdict.note,
            },
            "parent_id": self.parent_id,
        }


def review_item(store: Store, query_id: int, adjudicator: str) -> ReviewItem:
    """What there is to decide on. Read-only. Raises NotFound."""
    query, verdict = store.query(query_id), store.verdict(query_id)
    versions = store.versions(query_id)
    said = [each for each in versions if each.edit.arm != ADJUDICATION]
    before = store.latest(query_id, adjudicator)
    consensus = median_consensus([_version(each) for each in said])
    adopted = None if verdict is None else store.correction(verdict.correction_id).edit
    return ReviewItem(
        query=query,
        candidates=_candidates(query, said, store.proposals(query_id)),
        consensus=consensus,
        start=_start(query, consensus) if adopted is None else replace(adopted, submitted=False),
        agreement=lowest_agreement(
            [each.edit.windows for each in said if each.edit.verdict != "cannot-judge"]
        ),
        verdict=verdict,
        parent_id=None if before is None else before.id,
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
    edit = _edit_of(store, query_id, kind, candidate_id)
    return decide(
        store,
        query_id,
        replace(edit, active_ms=active_ms, key_presses=key_presses),
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
    if not 0 < len(op_id) <= LONGEST_OP_ID:
        raise InputError(
            f"An operation id has 1 to {LONGEST_OP_ID} characters; got {len(op_id)}. Send a UUID."
        )
    present = store.verdict(query_id)
    again = present is not None and present.op_id == op_id
    if not again and verdict_parent_id != (None if present is None else present.id):
        who = "nobody" if present is None else present.adjudicator
        raise Conflict(
            f"The decision on query {query_id} is not the one that you saw: it is by {who}. "
            "Compare both; yours was not saved.",
            yours=edit,
            theirs=present,
            parent_id=verdict_parent_id,
        )
    own = replace(edit, submitted=True, arm=ADJUDICATION)
    mine = store.submit(query_id, own, annotator=adjudicator, parent_id=parent_id, op_id=f"{op_id}:edit")
    return store.adjudicate(
        query_id,
        correction_id=mine.id,
        adjudicator=adjudicator,
        parent_id=verdict_parent_id,
        op_id=op_id,
        note=note,
    )


def proposed_moments(prediction: Prediction) -> list[tuple[Moment, float | None]]:
    """A model's answer as a set: of a ranked list the moments of CONFIDENT or more, else the first; sorted.

    Moments that overlap are joined and keep the highest confidence.
    """
    given = [(Moment.from_ms(each.start_ms, each.end_ms), each.confidence) for each in prediction.moments]
    sure = [pair for pair in given if pair[1] is None or pair[1] >= CONFIDENT] or given[:1]
    if prediction.refused:
        return []
    found: list[tuple[Moment, float | None]] = []
    for whole in merge(moment for moment, _ in sure):
        inside = [c for moment, c in sure if whole.start_s <= moment.start_s < whole.end_s and c is not None]
        found.append((whole, max(inside, default=None)))
    return found


def _candidates(
    query: Query, versions: Sequence[Correction], proposals: Sequence[Proposal]
) -> tuple[Candidate, ...]:
    others: list[Candidate] = []
    if proposals:
        newest = proposals[-1]
        pairs = proposed_moments(newest.prediction)
        others.append(
            Candidate(
                kind="model",
                name=model_name(newest.prediction),
                edit=_edit([moment for moment, _ in pairs], "model", "the model found nothing"),
                id=newest.id,
                confidences=tuple(confidence for _, confidence in pairs),
            )
        )
    if query.original is not None:
        reason = query.row.reason or "the original says so"
        others.append(
            Candidate(
                kind="original", name=query.dataset, edit=_edit(query.original, "original", reason), id=None
            )
        )
    people = [
        Candidate(kind="annotator", name=each.annotator, edit=each.edit, id=each.id) for each in versions
    ]
    return (*people[: MAX_CANDIDATES - len(others)], *others)


def model_name(prediction: Prediction) -> str:
    """The model with its adapter, in one word."""
    return f"{prediction.model_id}+{prediction.adapter_id}" if prediction.adapter_id else prediction.model_id


def _edit_of(store: Store, query_id: int, kind: Kind, candidate_id: int | None) -> Edit:
    """The edit that adopting the model's answer or the original makes. Raises InputError."""
    query = store.query(query_id)
    offered = _candidates(query, (), [each for each in store.proposals(query_id) if each.id == candidate_id])
    for each in offered:
        if each.kind == kind and each.id == candidate_id:
            return replace(each.edit, proposal_id=each.id if kind == "model" else None)
    raise InputError(
        f"Query {query_id} has no {kind} {'' if candidate_id is None else candidate_id} to adopt. "
        "Load the query again."
    )


def _edit(moments: Sequence[Moment], source: EdgeSource, reason: str, *, submitted: bool = True) -> Edit:
    edited, ordered = [], sorted(moments)
    if any(after.start_s < before.end_s for before, after in pairwise(ordered)):
        ordered = merge(ordered)
    for moment in ordered:
        start_ms, end_ms = moment.to_ms()
        edited.append(EditedMoment(start_ms=start_ms, end_ms=end_ms, start_source=source, end_source=source))
    if edited:
        return Edit(verdict="moments", moments=tuple(edited), submitted=submitted)
    return Edit(verdict="no-moment", reason=reason, submitted=submitted)


def _start(query: Query, consensus: Consensus) -> Edit:
    """The consensus as a draft, cut at the end of the video."""
    if consensus.verdict != "moments":
        reason = "the annotators found nothing" if consensus.verdict == "no-moment" else "nobody could judge"
        return Edit(verdict=consensus.verdict, reason=reason, submitted=False, arm=ADJUDICATION)
    return replace(_edit(consensus.moments, "hand", "", submitted=False), arm=ADJUDICATION)


def _version(correction: Correction) -> Version:
    return Version(verdict=correction.edit.verdict, moments=correction.edit.windows)
